/* client.c: N subscribers of one server-sent event stream, on one thread over epoll.
 *
 * usage: client PORT SUBSCRIBERS   (127.0.0.1, GET /events)
 * Prints {"subscribed": N} when every subscriber has its response head and its first chunk. Then reads
 * lines "EVENTS EVENTS_A_FIRE GAP_SECONDS TIMEOUT_SECONDS" from stdin. For each it asks the server for
 * GET /fire, waits until every subscriber has all events of it, asks again until EVENTS are through, and
 * prints one line of JSON. One event a fire is lockstep: nothing is left for a server to join into one
 * write. Ends at stdin's end.
 *
 * A payload holds "t", CLOCK_MONOTONIC nanoseconds at emit, and "i", 0 ... EVENTS-1 in this order.
 * Every subscriber is checked: lost, doubled, out of order, gap frames, ended streams.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 18, MAX_CONNECTING = 100, READY_TIMEOUT_SECONDS = 60 };
static const double LINGER_SECONDS = 0.2; /* after the last event: time for one too many to show */

struct subscriber {
    struct wire wire; /* first, so that on_event finds its subscriber */
    int fd;
    int64_t next; /* the lowest sequence number that may come now */
    uint8_t *seen; /* one byte for each event of this run */
};

static struct subscriber *subscribers;
static int subscriber_count, epoll_fd;
static char read_buffer[READ_BYTES];

/* The run. */
static int64_t event_count, delivered, doubled, disordered, gaps, foreign, ended, bytes_read;
static int64_t now_ns, first_emit_ns, last_receive_ns;
static uint32_t *latencies_us;

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

void on_event(struct wire *w) {
    struct subscriber *s = (struct subscriber *)w;
    if (w->is_gap) { gaps++; return; }
    if (w->sequence < 0 || w->sequence >= event_count || w->emitted_ns < 0) { foreign++; return; }
    if (s->seen[w->sequence]) { doubled++; return; }
    s->seen[w->sequence] = 1;
    if (w->sequence < s->next) disordered++; /* a later one came before; one that is left out counts as lost */
    else s->next = w->sequence + 1;
    int64_t waited_us = (now_ns - w->emitted_ns) / 1000;
    latencies_us[delivered++] = waited_us < 0 ? 0 : waited_us > UINT32_MAX ? UINT32_MAX : waited_us;
    if (w->emitted_ns < first_emit_ns) first_emit_ns = w->emitted_ns;
    last_receive_ns = now_ns;
}

static int connect_to(int port, struct subscriber *s) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr *)&server, sizeof server)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    return fd;
}

static void request(int fd, const char *path) {
    char text[256];
    int bytes = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n", path);
    if (write(fd, text, bytes) != bytes) die("write");
}

static void hang_up(struct subscriber *s) {
    close(s->fd);
    s->fd = -1;
    ended++;
}

/* Serve what is readable. Returns the HTTP status on fire_fd when it has come, else 0. */
static int serve(int timeout_ms, int fire_fd) {
    struct epoll_event events[512];
    int fire_status = 0;
    int count = epoll_wait(epoll_fd, events, 512, timeout_ms);
    for (int e = 0; e < count; e++) {
        struct subscriber *s = events[e].data.ptr;
        int64_t got = recv(s ? s->fd : fire_fd, read_buffer, READ_BYTES - 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (!s) {
            const char *answer = got > 0 ? memmem(read_buffer, got, "HTTP/1.1 ", 9) : NULL;
            if (answer) fire_status = atoi(answer + 9); /* anything else is the rest of an answer's body */
            if (got <= 0) fire_status = -1, epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fire_fd, NULL);
        } else if (got <= 0) {
            hang_up(s);
        } else {
            now_ns = clock_ns(CLOCK_MONOTONIC);
            bytes_read += got;
            wire_feed(&s->wire, read_buffer, got);
            if (s->wire.state >= ENDED) hang_up(s);
        }
    }
    return fire_status;
}

static void subscribe(int port) {
    int64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + READY_TIMEOUT_SECONDS * 1000000000LL;
    int opened = 0, ready = 0; /* ready: how many from the front have their first chunk; servers answer in order */
    while (ready < subscriber_count && !ended) {
        for (; opened < subscriber_count && opened - ready < MAX_CONNECTING; opened++) {
            struct subscriber *s = &subscribers[opened];
            s->fd = connect_to(port, s);
            request(s->fd, "/events");
        }
        serve(50, -1);
        while (ready < opened && subscribers[ready].wire.chunks) ready++;
        if (clock_ns(CLOCK_MONOTONIC) > deadline_ns) break;
    }
    if (ready < subscriber_count) {
        fprintf(stderr, "client: %d of %d subscribed; the next one's HTTP status is %d\n", ready, subscriber_count,
                subscribers[ready].wire.status);
        exit(1);
    }
    printf("{\"subscribed\": %d}\n", ready);
    fflush(stdout);
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(double share) {
    return delivered ? latencies_us[(int64_t)((delivered - 1) * share)] / 1e3 : 0;
}

static void start_run(int64_t events) {
    serve(0, -1); /* heartbeats of the idle time */
    event_count = events;
    delivered = doubled = disordered = gaps = foreign = bytes_read = 0;
    first_emit_ns = INT64_MAX;
    last_receive_ns = 0;
    latencies_us = realloc(latencies_us, (size_t)events * subscriber_count * sizeof *latencies_us);
    if (!latencies_us) die("realloc");
    for (int i = 0; i < subscriber_count; i++) {
        struct subscriber *s = &subscribers[i];
        s->next = 0;
        s->wire.chunks = 0;
        s->seen = realloc(s->seen, events);
        if (!s->seen) die("realloc");
        memset(s->seen, 0, events);
    }
}

static void report(int fire_status, double cpu_seconds, double wall_seconds) {
    int64_t expected = event_count * subscriber_count;
    uint64_t writes = 0;
    for (int i = 0; i < subscriber_count; i++) writes += subscribers[i].wire.chunks;
    qsort(latencies_us, delivered, sizeof *latencies_us, by_value);
    double span_seconds = delivered ? (last_receive_ns - first_emit_ns) / 1e9 : 0;
    printf("{\"fire_status\": %d, \"delivered\": %lld, \"lost\": %lld, \"doubled\": %lld, \"out_of_order\": %lld, ",
           fire_status, (long long)delivered, (long long)(expected - delivered), (long long)doubled,
           (long long)disordered);
    printf("\"gaps\": %lld, \"foreign\": %lld, \"ended\": %lld, \"span_seconds\": %.6f, ", (long long)gaps,
           (long long)foreign, (long long)ended, span_seconds);
    printf("\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"writes\": %llu, \"bytes\": %lld, ",
           percentile_ms(0.5), percentile_ms(0.99), percentile_ms(1), (unsigned long long)writes,
           (long long)bytes_read);
    printf("\"client_busy\": %.3f}\n", cpu_seconds / wall_seconds);
    fflush(stdout);
}

static void run(int port, int64_t events, int64_t events_a_fire, double gap_seconds, double timeout_seconds) {
    int fire_fd = connect_to(port, NULL), fire_status = 200;
    start_run(events);
    int64_t start_ns = clock_ns(CLOCK_MONOTONIC), start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    int64_t deadline_ns = start_ns + (int64_t)(timeout_seconds * 1e9);
    for (int64_t first = 0, fired = 0; first < events && fire_status == 200; first = fired) {
        char path[128];
        fired = first + events_a_fire < events ? first + events_a_fire : events;
        snprintf(path, sizeof path, "/fire?k=%lld&gap=%g&first=%lld", (long long)(fired - first), gap_seconds,
                 (long long)first);
        request(fire_fd, path);
        fire_status = 0;
        while (delivered < fired * subscriber_count || fire_status == 0) {
            int status = serve(100, fire_fd);
            if (status) fire_status = status;
            if (fire_status != 200 && fire_status != 0) break;
            if (ended || clock_ns(CLOCK_MONOTONIC) > deadline_ns) { fired = events; break; }
        }
    }
    double wall_seconds = (clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    double cpu_seconds = (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_ns) / 1e9;
    deadline_ns = clock_ns(CLOCK_MONOTONIC) + (int64_t)(LINGER_SECONDS * 1e9);
    while (clock_ns(CLOCK_MONOTONIC) < deadline_ns) serve(20, fire_fd);
    close(fire_fd);
    report(fire_status, cpu_seconds, wall_seconds);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: client PORT SUBSCRIBERS\n");
        return 2;
    }
    int port = atoi(argv[1]);
    subscriber_count = atoi(argv[2]);
    subscribers = calloc(subscriber_count, sizeof *subscribers);
    epoll_fd = epoll_create1(0);
    if (!subscribers || epoll_fd < 0) die("start");
    subscribe(port);
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        long long events, a_fire;
        double gap_seconds, timeout_seconds;
        if (sscanf(line, "%lld %lld %lf %lf", &events, &a_fire, &gap_seconds, &timeout_seconds) != 4) return 2;
        if (events < 1 || a_fire < 1) return 2;
        run(port, events, a_fire, gap_seconds, timeout_seconds);
    }
    return 0;
}
