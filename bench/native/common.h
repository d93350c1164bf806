/* What both ends of a benchmark share: a clock, growing buffers, sockets in one epoll loop.
 *
 * Everything runs in one thread. Trouble with the machine itself (memory, descriptors) ends the
 * program with a sentence; trouble with a peer closes that connection. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    DESCRIPTORS_MAX = 4096, /* Connections of both directions; gateways hold some hundred. */
    EVENTS_MAX = 256,       /* Taken from the kernel at once. */
    BACKLOG = 512,
    READ_BYTES = 65536,
    MARGIN_BYTES = 256,     /* Behind what was read: words are compared where a text may end. */
    ORDER_BYTES_MAX = 4096, /* One line that tells what to do. */
};

struct buffer {
    char *bytes;
    size_t begin, end, size;
};

static int epoll_fd, timer_fd;

static void fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Seconds of the monotonic clock, which all processes of a machine share. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *need_memory(void *memory) {
    if (memory == NULL) fail("memory");
    return memory;
}

static size_t waiting(const struct buffer *b) { return b->end - b->begin; }

/* Make room for so many bytes behind what waits. */
static void make_room(struct buffer *b, size_t more) {
    if (b->end + more <= b->size) return;
    if (b->begin) {
        memmove(b->bytes, b->bytes + b->begin, waiting(b));
        b->end -= b->begin;
        b->begin = 0;
    }
    if (b->end + more > b->size) {
        b->size = (b->end + more) * 2;
        b->bytes = need_memory(realloc(b->bytes, b->size));
    }
}

static void append(struct buffer *b, const void *bytes, size_t count) {
    make_room(b, count);
    memcpy(b->bytes + b->end, bytes, count);
    b->end += count;
}

static void drop_front(struct buffer *b, size_t count) {
    b->begin += count;
    if (b->begin == b->end) b->begin = b->end = 0;
}

/* Read what is there; false when the peer has closed or the connection is broken. */
static bool fill(int fd, struct buffer *in) {
    make_room(in, READ_BYTES + MARGIN_BYTES);
    ssize_t count = recv(fd, in->bytes + in->end, READ_BYTES, 0);
    if (count > 0) in->end += (size_t)count;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static void watch(int fd, uint32_t events, int how) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll_fd, how, fd, &event)) fail("epoll_ctl");
}

/* Write what waits; what does not fit now goes when the socket says that it can. */
static void flush(int fd, struct buffer *out, bool *is_full) {
    while (waiting(out)) {
        ssize_t count = send(fd, out->bytes + out->begin, waiting(out), MSG_NOSIGNAL);
        if (count <= 0) break;
        drop_front(out, (size_t)count);
    }
    bool full = waiting(out) > 0;
    if (full != *is_full) watch(fd, EPOLLIN | (full ? EPOLLOUT : 0), EPOLL_CTL_MOD);
    *is_full = full;
}

static void no_delay(int fd) {
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* Listen on a port of this machine, 0 for a free one, and say on standard output which it is. */
static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    struct sockaddr_in address = loopback(port);
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, BACKLOG)) {
        fail("listen");
    }
    getsockname(fd, (struct sockaddr *)&address, &size);
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Accept one connection; -1 when none waits. */
static int accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd >= DESCRIPTORS_MAX) {
        close(fd);
        return -1;
    }
    if (fd >= 0) {
        no_delay(fd);
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
    return fd;
}

static void start_loop(void) {
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (epoll_fd < 0 || timer_fd < 0) fail("epoll");
    watch(timer_fd, EPOLLIN, EPOLL_CTL_ADD);
    watch(STDIN_FILENO, EPOLLIN, EPOLL_CTL_ADD);
}

/* Let the timer ring at a time of the monotonic clock: epoll's own time-outs are whole ms. */
static void ring_at(double at) {
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)at}};
    when.it_value.tv_nsec = (long)((at - (double)when.it_value.tv_sec) * 1e9) + 1;
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void take_ring(void) {
    uint64_t rings;
    if (read(timer_fd, &rings, sizeof rings) < 0 && errno != EAGAIN) fail("timer");
}

/* Read one line of orders; false when whoever gave them has gone. */
static bool read_order(char *line) {
    ssize_t count = read(STDIN_FILENO, line, ORDER_BYTES_MAX - 1);
    if (count <= 0) return false;
    line[count] = '\0';
    return true;
}

#endif
