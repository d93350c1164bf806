/* The customer of a benchmark: sends requests over keep-alive HTTP connections and takes the status
 * callbacks, on one clock.
 *
 * load prints the port of its callbacks' receiver. A line on standard input
 *
 *     run PORT CONNECTIONS RATE FIRST PATIENCE REQUESTS TIMES
 *
 * sends every request of the file REQUESTS (each behind its length, 32 bits little-endian) to PORT:
 * with RATE 0 each as soon as a connection is free, else so many a second. The number of the first
 * one is FIRST; the callbacks of a message have `n=` and its number in their URL. All is over when
 * every message was reported sent and delivered, or nothing came for PATIENCE seconds; with
 * PATIENCE 0, when everything is answered. The file TIMES gets five arrays, one after the other,
 * with an item for each request: when it was sent (with a RATE: when it was to be sent), answered,
 * reported sent, reported delivered (seconds as doubles, 0 for never), and the status of its answer
 * (as a double). Counts are printed as JSON; the line `report` prints them again. */
#include "common.h"

enum { SENT = 0, DELIVERED = 1, STATES = 2 };
enum { IDLE, BUSY };
static const double STUCK_SECONDS = 120; /* A server that answers nothing for so long is stuck. */

struct caller { /* A connection on which requests leave. */
    int fd, state;
    bool is_full;
    long index;
    struct buffer in, out;
};

struct visitor { /* A connection on which callbacks come. */
    int fd;
    bool is_full;
    struct buffer in, out;
};

static struct caller *callers[DESCRIPTORS_MAX];
static struct visitor *visitors[DESCRIPTORS_MAX];
static int idle[DESCRIPTORS_MAX], idle_count;

static struct {
    int port;
    double rate, patience, began_at, last_at;
    long first, count, sent, answered, accepted, reported[STATES];
    long other, repeated, unknown, unsigned_, early, reconnected;
    const char **requests;
    uint32_t *lengths;
    char *file;
    double *sent_at, *answered_at, *reported_at[STATES], *statuses;
    char times[ORDER_BYTES_MAX];
    bool is_under_way;
} run;

/* Return the value of a header, or NULL; the head ends with an empty line. */
static const char *header(const char *head, const char *name, size_t size) {
    size_t length = strlen(name);
    for (const char *at = head; at < head + size; at++) {
        if (*at == '\n' && !strncasecmp(at + 1, name, length) && at[1 + length] == ':') {
            at += 2 + length;
            while (*at == ' ') at++;
            return at;
        }
    }
    return NULL;
}

/* Return the size of a body, or -1 while it is not whole. Its length is said before it, or the last
 * of its chunks is empty; without either there is none. */
static ssize_t body_size(const char *head, size_t head_size, size_t size) {
    const char *length = header(head, "content-length", head_size);
    if (length) {
        size_t body = strtoul(length, NULL, 10);
        return head_size + body <= size ? (ssize_t)body : -1;
    }
    const char *encoding = header(head, "transfer-encoding", head_size);
    if (!encoding || strncasecmp(encoding, "chunked", 7)) return 0;
    /* From the end of the head on: an empty body begins with its last chunk. */
    const char *from = head + head_size - 2;
    const char *last = memmem(from, size - head_size + 2, "\r\n0\r\n\r\n", 7);
    return last ? last + 7 - (head + head_size) : -1;
}

/* Return the size of the first HTTP message in a buffer once it is whole, and of its head. */
static size_t whole(const struct buffer *in, size_t *head_size) {
    const char *bytes = in->bytes + in->begin;
    const char *end = waiting(in) ? memmem(bytes, waiting(in), "\r\n\r\n", 4) : NULL;
    if (!end) return 0;
    *head_size = (size_t)(end + 4 - bytes);
    ssize_t size = body_size(bytes, *head_size, waiting(in));
    return size < 0 ? 0 : *head_size + (size_t)size;
}

static bool says_close(const char *head, size_t size) {
    const char *value = header(head, "connection", size);
    return value && !strncasecmp(value, "close", 5);
}

static struct caller *dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(run.port);
    if (fd < 0 || fd >= DESCRIPTORS_MAX) fail("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    no_delay(fd);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    struct caller *c = need_memory(calloc(1, sizeof *c));
    c->fd = fd;
    callers[fd] = c;
    return c;
}

static void hang_up(struct caller *c) {
    callers[c->fd] = NULL;
    close(c->fd);
    free(c->in.bytes);
    free(c->out.bytes);
    free(c);
}

/* When a request is due; with no rate at once. */
static double due_at(long index) {
    return run.rate > 0 ? run.began_at + (double)index / run.rate : 0;
}

/* Send the next request, or let the connection wait for one to be due. */
static void use(struct caller *c) {
    double at = now();
    if (run.sent == run.count || due_at(run.sent) > at) {
        c->state = IDLE;
        idle[idle_count++] = c->fd;
        return;
    }
    c->state = BUSY;
    c->index = run.sent++;
    run.sent_at[c->index] = run.rate > 0 ? due_at(c->index) : at;
    append(&c->out, run.requests[c->index], run.lengths[c->index]);
    flush(c->fd, &c->out, &c->is_full);
}

static void note_answer(struct caller *c, int status) {
    run.answered_at[c->index] = run.last_at = now();
    run.statuses[c->index] = status;
    run.answered++;
    run.accepted += status >= 200 && status < 300;
}

static void redial(struct caller *c) {
    hang_up(c);
    run.reconnected++;
    use(dial());
}

static void serve_caller(struct caller *c, uint32_t events) {
    if (events & EPOLLOUT) flush(c->fd, &c->out, &c->is_full);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    bool is_open = fill(c->fd, &c->in);
    size_t head_size = 0, size = whole(&c->in, &head_size);
    if (c->state == BUSY && (size || !is_open)) {
        const char *head = c->in.bytes + c->in.begin;
        bool is_last = !is_open || says_close(head, head_size);
        /* HTTP/1.1 201 Created */
        note_answer(c, waiting(&c->in) > 12 ? atoi(head + 9) : 0);
        drop_front(&c->in, size);
        if (is_last) {
            redial(c);
        } else {
            use(c);
        }
    } else if (!is_open) {
        for (int i = 0; i < idle_count; i++) {
            if (idle[i] == c->fd) idle[i--] = idle[--idle_count];
        }
        redial(c);
    }
}

static bool has(const char *text, size_t size, const char *word) {
    return memmem(text, size, word, strlen(word)) != NULL;
}

/* What a callback reports: Trunkline's form, Kannel's dlr %d (8 and 1), Jasmin's level (1 and 2,
 * where 3 asks for both and names which in the level of its own); -1 for something else. */
static int state_of(const char *request, size_t size) {
    if (has(request, size, "MessageStatus=delivered")) return DELIVERED;
    if (has(request, size, "MessageStatus=sent")) return SENT;
    if (has(request, size, "&d=1 ")) return DELIVERED;
    if (has(request, size, "&d=8 ")) return SENT;
    if (has(request, size, "message_status=DELIVRD")) return DELIVERED;
    if (has(request, size, "level=1") && has(request, size, "message_status=ESME_ROK")) return SENT;
    return -1;
}

static void take_callback(const char *request, size_t head_size, size_t size) {
    const char *line_end = memchr(request, '\n', head_size);
    const char *query = memchr(request, '?', (size_t)(line_end - request));
    const char *number = query ? memmem(query, (size_t)(line_end - query), "n=", 2) : NULL;
    long index = number ? atol(number + 2) - run.first : -1;
    if (index < 0 || index >= run.count) {
        run.unknown++;
        return;
    }
    run.last_at = now();
    run.unsigned_ += header(request, "x-twilio-signature", head_size) == NULL;
    int state = state_of(request, size);
    if (state < 0) {
        run.other++;
        return;
    }
    if (run.reported_at[state][index] > 0) {
        run.repeated++;
        return;
    }
    run.reported_at[state][index] = run.last_at;
    run.reported[state]++;
    run.early += state == DELIVERED && run.reported_at[SENT][index] == 0;
}

static void leave(struct visitor *v) {
    visitors[v->fd] = NULL;
    close(v->fd);
    free(v->in.bytes);
    free(v->out.bytes);
    free(v);
}

static void serve_visitor(struct visitor *v, uint32_t events) {
    /* These words are what Jasmin wants to read; nobody else reads them. */
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nACK/Jasmin";
    bool is_open = !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || fill(v->fd, &v->in);
    size_t head_size = 0, size;
    while ((size = whole(&v->in, &head_size)) > 0) {
        const char *request = v->in.bytes + v->in.begin;
        take_callback(request, head_size, size);
        is_open = is_open && !says_close(request, head_size);
        append(&v->out, answer, sizeof answer - 1);
        drop_front(&v->in, size);
    }
    flush(v->fd, &v->out, &v->is_full);
    if (!is_open) leave(v);
}

static void welcome(int listener) {
    for (int fd = accept_one(listener); fd >= 0; fd = accept_one(listener)) {
        visitors[fd] = need_memory(calloc(1, sizeof **visitors));
        visitors[fd]->fd = fd;
    }
}

static void report(void) {
    printf("{\"answered\": %ld, \"accepted\": %ld, \"sent\": %ld, \"delivered\": %ld,"
           " \"other\": %ld, \"repeated\": %ld, \"unknown\": %ld, \"unsigned\": %ld,"
           " \"early\": %ld, \"reconnected\": %ld}\n",
           run.answered, run.accepted, run.reported[SENT], run.reported[DELIVERED], run.other,
           run.repeated, run.unknown, run.unsigned_, run.early, run.reconnected);
    fflush(stdout);
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path);
    size_t size = (size_t)ftell(file);
    run.file = need_memory(malloc(size + 1));
    rewind(file);
    if (fread(run.file, 1, size, file) != size) fail(path);
    fclose(file);
    for (size_t at = 0; at < size; run.count++) {
        uint32_t length;
        memcpy(&length, run.file + at, sizeof length);
        at += sizeof length + length;
    }
    run.requests = need_memory(calloc((size_t)run.count, sizeof *run.requests));
    run.lengths = need_memory(calloc((size_t)run.count, sizeof *run.lengths));
    const char *at = run.file;
    for (long i = 0; i < run.count; i++) {
        memcpy(&run.lengths[i], at, sizeof *run.lengths);
        run.requests[i] = at + sizeof *run.lengths;
        at = run.requests[i] + run.lengths[i];
    }
}

static double *zeros(void) { return need_memory(calloc((size_t)run.count, sizeof(double))); }

static void forget_run(void) {
    free(run.file);
    free(run.requests);
    free(run.lengths);
    free(run.sent_at);
    free(run.answered_at);
    free(run.statuses);
    for (int state = 0; state < STATES; state++) free(run.reported_at[state]);
    memset(&run, 0, sizeof run);
}

static void begin(const char *order) {
    int connections;
    char path[ORDER_BYTES_MAX];
    forget_run();
    if (sscanf(order, "run %d %d %lf %ld %lf %4095s %4095s", &run.port, &connections, &run.rate,
               &run.first, &run.patience, path, run.times) != 7) {
        fprintf(stderr, "bench: no order: %s\n", order);
        exit(2);
    }
    read_requests(path);
    run.sent_at = zeros();
    run.answered_at = zeros();
    run.statuses = zeros();
    for (int state = 0; state < STATES; state++) run.reported_at[state] = zeros();
    run.is_under_way = true;
    idle_count = 0;
    /* All are made before the clock runs: a server that takes few at once makes the rest wait. */
    for (int i = 0; i < connections; i++) idle[idle_count++] = dial()->fd;
    run.began_at = run.last_at = now();
}

static void end(void) {
    FILE *file = fopen(run.times, "wb");
    double *const arrays[] = {run.sent_at, run.answered_at, run.reported_at[SENT],
                              run.reported_at[DELIVERED], run.statuses};
    if (!file) fail(run.times);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (fwrite(arrays[i], sizeof(double), (size_t)run.count, file) != (size_t)run.count) {
            fail(run.times);
        }
    }
    fclose(file);
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (callers[fd]) hang_up(callers[fd]);
    }
    run.is_under_way = false;
    report();
}

/* Send what is due, and end the run when it is over. */
static void go_on(void) {
    static const double look_seconds = 0.02;
    double at = now();
    while (idle_count && run.sent < run.count && due_at(run.sent) <= at) {
        use(callers[idle[--idle_count]]);
    }
    bool is_whole = run.reported[SENT] >= run.accepted && run.reported[DELIVERED] >= run.accepted;
    bool is_quiet = at - run.last_at > run.patience;
    bool is_over = run.answered == run.count && (run.patience == 0 || is_whole || is_quiet);
    if (is_over || at - run.last_at > STUCK_SECONDS) {
        end();
        return;
    }
    double next = at + look_seconds;
    double due = run.sent < run.count ? due_at(run.sent) : next;
    if (idle_count && due < next) next = due;
    ring_at(next);
}

static void obey(char *orders) {
    if (!strncmp(orders, "run ", 4)) {
        begin(orders);
    } else {
        report();
    }
}

int main(void) {
    start_loop();
    int listener = listen_on(0);
    struct epoll_event events[EVENTS_MAX];
    char order[ORDER_BYTES_MAX];
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                welcome(fd);
            } else if (fd == timer_fd) {
                take_ring();
            } else if (fd == STDIN_FILENO) {
                if (!read_order(order)) return 0;
                obey(order);
            } else if (callers[fd]) {
                serve_caller(callers[fd], events[i].events);
            } else if (visitors[fd]) {
                serve_visitor(visitors[fd], events[i].events);
            }
        }
        if (run.is_under_way) go_on();
    }
}
