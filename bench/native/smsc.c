/* The SMSC of a benchmark: takes every text at once, sends a receipt for each a moment later.
 *
 * smsc PORT RECEIPT_SECONDS prints its port. Each line on standard input is answered with what it
 * has seen, as JSON; after `reset` it counts anew. It ends when standard input does.
 * The wire is SMPP 3.4; what a gateway does not need to be measured is not here. */
#include "common.h"

enum {
    HEADER = 16,
    PDU_BYTES_MAX = 65536,
    WINDOW_MAX = 500, /* Receipts under way on a connection: SMSCs wait, and gateways refuse. */
    ADDRESS_MAX = 21, /* SMPP 3.4 4.4.1: with its NUL. */
};
/* SMPP 3.4 5.1.2.1 */
enum {
    BIND_RECEIVER = 0x1,
    BIND_TRANSMITTER = 0x2,
    SUBMIT_SM = 0x4,
    DELIVER_SM = 0x5,
    UNBIND = 0x6,
    BIND_TRANSCEIVER = 0x9,
    ENQUIRE_LINK = 0x15,
};
static const uint32_t RESPONSE = 0x80000000u;
static const double AGAIN_SECONDS = 0.5; /* A receipt that was refused for now comes again. */

struct address {
    uint8_t ton, npi;
    char digits[ADDRESS_MAX];
};

struct receipt {
    double due_at;
    uint64_t id;
    struct address sender, recipient;
};

struct queue {
    struct receipt *items;
    size_t first, count, size;
};

struct connection {
    int fd;
    bool is_full, takes_receipts;
    uint32_t last_number;
    int under_way;
    struct buffer in, out;
    struct receipt sent[WINDOW_MAX];
    uint32_t sent_numbers[WINDOW_MAX];
};

static struct connection *connections[DESCRIPTORS_MAX];
static int descriptors; /* All of them are below this. */
static struct queue owed;
static double receipt_seconds;
/* Ten digits without a zero in front, which some gateways take off. */
static uint64_t last_id = 1000000000;
static long texts, repeated, receipts, refused, binds;
static double first_at, last_at;

/* What texts came before, as an open table of their hashes. */
static uint64_t *seen;
static size_t seen_size = 1 << 16, seen_count;

static void put_u32(char *to, uint32_t value) {
    value = htonl(value);
    memcpy(to, &value, sizeof value);
}

static uint32_t u32_at(const char *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return ntohl(value);
}

static void push(struct queue *q, const struct receipt *item) {
    if (q->count == q->size) {
        size_t size = q->size ? q->size * 2 : 1024;
        struct receipt *items = need_memory(malloc(size * sizeof *items));
        for (size_t i = 0; i < q->count; i++) items[i] = q->items[(q->first + i) % q->size];
        free(q->items);
        q->items = items;
        q->first = 0;
        q->size = size;
    }
    q->items[(q->first + q->count++) % q->size] = *item;
}

static void pop(struct queue *q) {
    q->first = (q->first + 1) % q->size;
    q->count--;
}

static bool remember(uint64_t hash);

static void grow_seen(void) {
    uint64_t *old = seen;
    size_t old_size = seen_size;
    seen_size *= 2;
    seen = need_memory(calloc(seen_size, sizeof *seen));
    seen_count = 0;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i]) remember(old[i]);
    }
    free(old);
}

/* Note a hash; false when it was noted before. */
static bool remember(uint64_t hash) {
    if (seen_count * 2 > seen_size) grow_seen();
    size_t at = hash & (seen_size - 1);
    for (; seen[at]; at = (at + 1) & (seen_size - 1)) {
        if (seen[at] == hash) return false;
    }
    seen[at] = hash;
    seen_count++;
    return true;
}

/* FNV-1a, 64 bits; never 0, which is an empty place of the table. */
static uint64_t hash_of(const char *bytes, size_t count) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++) hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    return hash ? hash : 1;
}

static void forget(void) {
    texts = repeated = receipts = refused = binds = 0;
    first_at = last_at = 0;
    seen_count = 0;
    memset(seen, 0, seen_size * sizeof *seen);
}

static void report(void) {
    printf("{\"texts\": %ld, \"repeated\": %ld, \"receipts\": %ld, \"receipts_refused\": %ld,"
           " \"binds\": %ld, \"first_at\": %.6f, \"last_at\": %.6f}\n",
           texts, repeated, receipts, refused, binds, first_at, last_at);
    fflush(stdout);
}

static void hang_up(struct connection *c) {
    for (int i = 0; i < WINDOW_MAX; i++) {
        if (c->sent_numbers[i]) push(&owed, &c->sent[i]);
    }
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in.bytes);
    free(c->out.bytes);
    free(c);
}

static void answer(struct connection *c, const char *request, const char *body, size_t size) {
    char header[HEADER];
    put_u32(header, (uint32_t)(HEADER + size));
    put_u32(header + 4, u32_at(request + 4) | RESPONSE);
    put_u32(header + 8, 0);
    memcpy(header + 12, request + 12, 4);
    append(&c->out, header, HEADER);
    append(&c->out, body, size);
}

static const char *skip_string(const char *at, const char *end) {
    const char *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
    return nul ? nul + 1 : end;
}

static const char *read_address(const char *at, const char *end, struct address *found) {
    if (end - at < 3) return end;
    found->ton = (uint8_t)at[0];
    found->npi = (uint8_t)at[1];
    snprintf(found->digits, sizeof found->digits, "%.*s", (int)(end - at - 2), at + 2);
    return skip_string(at + 2, end);
}

/* SMPP 3.4 4.4.1 */
static void take_text(struct connection *c, const char *pdu, const char *end) {
    struct receipt receipt = {.due_at = now() + receipt_seconds, .id = ++last_id};
    const char *at = read_address(skip_string(pdu + HEADER, end), end, &receipt.sender);
    at = read_address(at, end, &receipt.recipient) + 3; /* esm_class, protocol_id, priority */
    at = skip_string(skip_string(at, end), end);        /* both times */
    if (end - at < 5) {
        hang_up(c);
        return;
    }
    bool is_registered = at[0] & 1;
    const char *text = at + 5; /* registered_delivery, replace, data_coding, default id, length */
    size_t length = (uint8_t)at[4];
    char id[24];
    int size = snprintf(id, sizeof id, "%llu", (unsigned long long)receipt.id);
    answer(c, pdu, id, (size_t)size + 1);
    if (texts++ == 0) first_at = now();
    last_at = now();
    if (text + length <= end && !remember(hash_of(text, length))) repeated++;
    if (is_registered) push(&owed, &receipt);
}

static void take_answer(struct connection *c, const char *pdu) {
    uint32_t number = u32_at(pdu + 12);
    if (number == 0) return;
    for (int i = 0; i < WINDOW_MAX; i++) {
        if (c->sent_numbers[i] != number) continue;
        c->sent_numbers[i] = 0;
        c->under_way--;
        if (u32_at(pdu + 8)) {
            refused++;
            c->sent[i].due_at = now() + AGAIN_SECONDS;
            push(&owed, &c->sent[i]);
        } else {
            receipts++;
        }
        return;
    }
}

static void take_pdu(struct connection *c, const char *pdu, uint32_t length) {
    uint32_t command = u32_at(pdu + 4);
    switch (command) {
    case BIND_RECEIVER:
    case BIND_TRANSMITTER:
    case BIND_TRANSCEIVER:
        binds++;
        c->takes_receipts = command != BIND_TRANSMITTER;
        answer(c, pdu, "bench", sizeof "bench");
        break;
    case SUBMIT_SM:
        take_text(c, pdu, pdu + length);
        break;
    case DELIVER_SM | 0x80000000u:
        take_answer(c, pdu);
        break;
    case UNBIND:
    case ENQUIRE_LINK:
        answer(c, pdu, "", 0);
        break;
    }
}

static size_t write_address(char *to, const struct address *address) {
    to[0] = (char)address->ton;
    to[1] = (char)address->npi;
    return 2 + (size_t)sprintf(to + 2, "%s", address->digits) + 1;
}

/* SMPP 3.4 4.6.1, with a text as in its appendix B and the TLVs of 5.3.2.12 and 5.3.2.35. */
static void send_receipt(struct connection *c, const struct receipt *r) {
    char pdu[512] = {0}, text[160], date[16];
    time_t today = time(NULL);
    strftime(date, sizeof date, "%y%m%d%H%M", gmtime(&today));
    int length = snprintf(text, sizeof text,
                          "id:%llu sub:001 dlvrd:001 submit date:%s done date:%s stat:DELIVRD"
                          " err:000 text:",
                          (unsigned long long)r->id, date, date);
    size_t at = HEADER + 1; /* service_type is empty */
    at += write_address(pdu + at, &r->recipient);
    at += write_address(pdu + at, &r->sender);
    pdu[at] = 0x04; /* esm_class: a receipt; the eight octets behind it are 0 */
    at += 9;
    pdu[at++] = (char)length;
    memcpy(pdu + at, text, (size_t)length);
    at += (size_t)length;
    memcpy(pdu + at, "\x00\x1e\x00\x0b", 4); /* receipted_message_id */
    at += 4 + (size_t)sprintf(pdu + at + 4, "%llu", (unsigned long long)r->id) + 1;
    memcpy(pdu + at, "\x04\x27\x00\x01\x02", 5); /* message_state: delivered */
    at += 5;
    put_u32(pdu, (uint32_t)at);
    put_u32(pdu + 4, DELIVER_SM);
    if (++c->last_number == 0x80000000u) c->last_number = 1;
    put_u32(pdu + 12, c->last_number);
    append(&c->out, pdu, at);
}

static void owe(struct connection *c, const struct receipt *r) {
    send_receipt(c, r);
    for (int i = 0; i < WINDOW_MAX; i++) {
        if (c->sent_numbers[i]) continue;
        c->sent_numbers[i] = c->last_number;
        c->sent[i] = *r;
        c->under_way++;
        return;
    }
}

/* The connection with the fewest receipts under way; NULL when none has room. */
static struct connection *receiver(void) {
    struct connection *best = NULL;
    for (int fd = 0; fd < descriptors; fd++) {
        struct connection *c = connections[fd];
        if (!c || !c->takes_receipts || c->under_way >= WINDOW_MAX) continue;
        if (!best || c->under_way < best->under_way) best = c;
    }
    return best;
}

static void send_due(void) {
    double at = now();
    while (owed.count && owed.items[owed.first].due_at <= at) {
        struct connection *c = receiver();
        if (!c) break;
        owe(c, &owed.items[owed.first]);
        pop(&owed);
    }
    for (int fd = 0; fd < descriptors; fd++) {
        struct connection *c = connections[fd];
        if (c && waiting(&c->out)) flush(fd, &c->out, &c->is_full);
    }
    /* With no room the next answer brings us here. */
    if (owed.count && receiver()) ring_at(owed.items[owed.first].due_at);
}

static void serve(struct connection *c, uint32_t events) {
    int fd = c->fd;
    bool is_open = !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || fill(fd, &c->in);
    while (connections[fd] == c && waiting(&c->in) >= HEADER) {
        const char *pdu = c->in.bytes + c->in.begin;
        uint32_t length = u32_at(pdu);
        if (length < HEADER || length > PDU_BYTES_MAX) is_open = false;
        if (!is_open || waiting(&c->in) < length) break;
        take_pdu(c, pdu, length);
        if (connections[fd] == c) drop_front(&c->in, length);
    }
    if (connections[fd] == c && !is_open) hang_up(c);
}

static void greet(int listener) {
    for (int fd = accept_one(listener); fd >= 0; fd = accept_one(listener)) {
        connections[fd] = need_memory(calloc(1, sizeof **connections));
        connections[fd]->fd = fd;
        if (fd >= descriptors) descriptors = fd + 1;
    }
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: smsc PORT RECEIPT_SECONDS\n");
        return 2;
    }
    receipt_seconds = atof(arguments[2]);
    seen = need_memory(calloc(seen_size, sizeof *seen));
    start_loop();
    int listener = listen_on(atoi(arguments[1]));
    struct epoll_event events[EVENTS_MAX];
    char order[ORDER_BYTES_MAX];
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                greet(fd);
            } else if (fd == timer_fd) {
                take_ring();
            } else if (fd == STDIN_FILENO) {
                if (!read_order(order)) return 0;
                report();
                if (!strncmp(order, "reset", 5)) forget();
            } else if (connections[fd]) {
                serve(connections[fd], events[i].events);
            }
        }
        send_due();
    }
}
