/* client.c: N subscribers of one server-sent event stream, on one thread over epoll.
 *
 * usage: client PORT SUBSCRIBERS [STOPPING [PUBLISH_PATH [STREAM_PATH [BACKLOG]]]]   (127.0.0.1, GET /events)
 * Prints {"subscribed": N, "seconds": S} when every subscriber has its response head and its first chunk. Then reads
 * lines "EVENTS EVENTS_A_FIRE GAP_SECONDS PAD TIMEOUT_SECONDS PROBE_SECONDS STOP" from stdin, and prints one line of
 * JSON for each. Ends at stdin's end.
 *
 * The server emits: it is asked for GET /fire, and again once every subscriber has all events of that, until EVENTS
 * are through. One event a fire is lockstep: nothing is left for a server to join into one write. With a
 * PUBLISH_PATH the events are POSTed there instead, at the same pace: the next one at its time, or without a gap
 * once the last was answered.
 *
 * PROBE_SECONDS above 0: a GET /plain beside it, again and again with that pause, each one timed.
 * STOP 1: the first STOPPING subscribers, which have a small receive buffer, read nothing during this run.
 *
 * With a BACKLOG, which STREAM_PATH asks for, every subscriber gets so many events that were emitted before; once they
 * have, a line as that of a run is printed first. Its time is from the first connect to the last of these events.
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

enum {
    READ_BYTES = 1 << 18,
    MAX_CONNECTING = 100,
    READY_TIMEOUT_SECONDS = 60,
    SMALL_BUFFER_BYTES = 4096,
    MAX_PROBES = 1 << 16,
    MAX_PAD = 65536,
};
static const double LINGER_SECONDS = 0.2; /* after the last event: time for one too many to show */
static const double DRAIN_SECONDS = 5;

struct subscriber {
    struct wire wire; /* first, so that on_event finds its subscriber */
    int fd;
    int64_t next; /* the lowest sequence number that may come now */
    uint8_t *seen; /* one byte for each event of this run */
};

struct order { /* one run's, as it was read from stdin */
    long long events, events_a_fire;
    double gap_seconds;
    int pad;
    double timeout_seconds, probe_seconds;
    int stop;
};

/* A connection that asks and gets answers; not a subscriber's. */
struct asker {
    int fd, status, answers; /* status of the last answer; 0 while it is awaited */
    int64_t asked_ns, answered_ns;
};

static struct subscriber *subscribers;
static int subscriber_count, stopping_count, epoll_fd, port;
static const char *publish_path, *stream_path = "/events";
static char read_buffer[READ_BYTES];
static struct asker firer = {.fd = -1}, prober = {.fd = -1};

/* The run. */
static int64_t event_count, delivered, doubled, disordered, gaps, foreign, ended, bytes_read;
static int64_t now_ns, first_emit_ns, last_receive_ns;
static uint32_t *latencies_us, probes_us[MAX_PROBES];
static int probe_count;

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

static int connect_to(void *who, int receive_bytes) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0) die("socket");
    if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (connect(fd, (struct sockaddr *)&server, sizeof server)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    return fd;
}

static void request(int fd, const char *path) {
    char text[256];
    int bytes = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", path);
    if (write(fd, text, bytes) != bytes) die("write");
}

static void publish(int fd, int64_t sequence, int pad) {
    static char text[MAX_PAD + 512], body[MAX_PAD + 256], title[MAX_PAD + 1];
    memset(title, 'x', pad);
    title[pad] = 0;
    int body_bytes = snprintf(body, sizeof body, "{\"t\":%lld,\"i\":%lld,\"title\":\"%s\",\"done\":false}",
                              (long long)clock_ns(CLOCK_MONOTONIC), (long long)sequence, title);
    int bytes = snprintf(text, sizeof text,
                         "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                         "Content-Length: %d\r\n\r\n%s", publish_path, body_bytes, body);
    if (write(fd, text, bytes) != bytes) die("write");
}

static void ask(struct asker *a, const char *path) {
    if (a->fd < 0) a->fd = connect_to(a, 0);
    a->status = 0;
    a->asked_ns = clock_ns(CLOCK_MONOTONIC);
    request(a->fd, path);
}

/* Take what has come on an asker's connection: the status lines count, the rest of an answer is skipped. */
static void hear(struct asker *a) {
    int64_t got = recv(a->fd, read_buffer, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { /* while nothing is awaited, a server may end a connection that it keeps alive */
        if (!a->status) a->status = -1;
        close(a->fd);
        a->fd = -1;
        return;
    }
    const char *at = read_buffer, *end = read_buffer + got;
    while ((at = memmem(at, end - at, "HTTP/1.1 ", 9)) && end - at > 12) {
        a->status = atoi(at += 9);
        a->answers++;
        a->answered_ns = clock_ns(CLOCK_MONOTONIC);
    }
}

static void hang_up(struct subscriber *s) {
    close(s->fd);
    s->fd = -1;
    ended++;
}

/* Serve what is readable. Returns how many connections were. */
static int serve(int timeout_ms) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll_fd, events, 512, timeout_ms);
    for (int e = 0; e < count; e++) {
        void *who = events[e].data.ptr;
        if (who == &firer || who == &prober) {
            hear(who);
            continue;
        }
        struct subscriber *s = who;
        int64_t got = recv(s->fd, read_buffer, READ_BYTES - 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (got <= 0) {
            hang_up(s);
            continue;
        }
        now_ns = clock_ns(CLOCK_MONOTONIC);
        bytes_read += got;
        wire_feed(&s->wire, read_buffer, got);
        if (s->wire.state >= ENDED) hang_up(s);
    }
    return count;
}

static void subscribe(void) {
    int64_t start_ns = clock_ns(CLOCK_MONOTONIC), deadline_ns = start_ns + READY_TIMEOUT_SECONDS * 1000000000LL;
    int opened = 0, ready = 0; /* ready: how many from the front have their first chunk; servers answer in order */
    while (ready < subscriber_count && !ended) {
        for (; opened < subscriber_count && opened - ready < MAX_CONNECTING; opened++) {
            struct subscriber *s = &subscribers[opened];
            s->fd = connect_to(s, opened < stopping_count ? SMALL_BUFFER_BYTES : 0);
            request(s->fd, stream_path);
        }
        serve(50);
        while (ready < opened && subscribers[ready].wire.chunks) ready++;
        if (clock_ns(CLOCK_MONOTONIC) > deadline_ns) break;
    }
    if (ready < subscriber_count) {
        fprintf(stderr, "client: %d of %d subscribed; the next one's HTTP status is %d\n", ready, subscriber_count,
                subscribers[ready].wire.status);
        exit(1);
    }
    printf("{\"subscribed\": %d, \"seconds\": %.3f}\n", ready, (clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9);
    fflush(stdout);
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(uint32_t *sorted, int64_t count, double share) {
    return count ? sorted[(int64_t)((count - 1) * share)] / 1e3 : 0;
}

static void start_run(const struct order *order) {
    while (serve(0) > 0) { /* heartbeats of the idle time */
    }
    event_count = order->events;
    delivered = doubled = disordered = gaps = foreign = bytes_read = 0;
    first_emit_ns = INT64_MAX;
    last_receive_ns = 0;
    probe_count = firer.answers = 0;
    latencies_us = realloc(latencies_us, (size_t)event_count * subscriber_count * sizeof *latencies_us);
    if (!latencies_us) die("realloc");
    for (int i = 0; i < subscriber_count; i++) {
        struct subscriber *s = &subscribers[i];
        s->next = 0;
        s->wire.chunks = 0;
        s->seen = realloc(s->seen, event_count);
        if (!s->seen) die("realloc");
        memset(s->seen, 0, event_count);
        if (order->stop && i < stopping_count && epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL)) die("epoll_ctl");
    }
}

/* How many of those that stopped reading were let go by the server; they read on to see it. */
static int count_let_go(void) {
    int64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + (int64_t)(DRAIN_SECONDS * 1e9);
    int let_go = 0;
    while (let_go < stopping_count && clock_ns(CLOCK_MONOTONIC) < deadline_ns) {
        for (int i = 0; i < stopping_count; i++) {
            if (subscribers[i].fd < 0) continue;
            int64_t got = recv(subscribers[i].fd, read_buffer, READ_BYTES, MSG_DONTWAIT);
            if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) continue;
            close(subscribers[i].fd);
            subscribers[i].fd = -1;
            let_go++;
        }
    }
    return let_go;
}

static void report(const struct order *order, int64_t expected, double cpu_seconds, double wall_seconds) {
    uint64_t writes = 0;
    for (int i = 0; i < subscriber_count; i++) writes += subscribers[i].wire.chunks;
    qsort(latencies_us, delivered, sizeof *latencies_us, by_value);
    qsort(probes_us, probe_count, sizeof *probes_us, by_value);
    double span_seconds = delivered ? (last_receive_ns - first_emit_ns) / 1e9 : 0;
    printf("{\"fire_status\": %d, \"delivered\": %lld, \"lost\": %lld, \"doubled\": %lld, \"out_of_order\": %lld, ",
           firer.status, (long long)delivered, (long long)(expected - delivered), (long long)doubled,
           (long long)disordered);
    printf("\"gaps\": %lld, \"foreign\": %lld, \"ended\": %lld, \"span_seconds\": %.6f, ", (long long)gaps,
           (long long)foreign, (long long)ended, span_seconds);
    printf("\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"writes\": %llu, \"bytes\": %lld, ",
           percentile_ms(latencies_us, delivered, 0.5), percentile_ms(latencies_us, delivered, 0.99),
           percentile_ms(latencies_us, delivered, 1), (unsigned long long)writes, (long long)bytes_read);
    printf("\"probes\": %d, \"probe_p50_ms\": %.3f, \"probe_p99_ms\": %.3f, \"let_go\": %d, ", probe_count,
           percentile_ms(probes_us, probe_count, 0.5), percentile_ms(probes_us, probe_count, 0.99),
           order->stop ? count_let_go() : 0);
    printf("\"client_busy\": %.3f}\n", cpu_seconds / wall_seconds);
    fflush(stdout);
}

/* Take the last probe's answer, and ask again when it is time. */
static void probe(const struct order *order) {
    if (order->probe_seconds <= 0 || prober.status < 0) return;
    if (prober.asked_ns && !prober.status) return;
    if (prober.asked_ns && prober.answered_ns > prober.asked_ns) {
        if (probe_count < MAX_PROBES) probes_us[probe_count++] = (prober.answered_ns - prober.asked_ns) / 1000;
        prober.asked_ns = 0;
        prober.answered_ns = clock_ns(CLOCK_MONOTONIC);
    }
    if (clock_ns(CLOCK_MONOTONIC) - prober.answered_ns >= order->probe_seconds * 1e9) ask(&prober, "/plain");
}

/* Publish what is due. Returns how many events have been published. */
static int64_t publish_due(const struct order *order, int64_t published, int64_t until, int64_t start_ns) {
    if (order->gap_seconds > 0) {
        int64_t due = (int64_t)((clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9 / order->gap_seconds) + 1;
        while (published < until && published < due) publish(firer.fd, published++, order->pad);
    } else if (published < until && firer.answers == published) {
        publish(firer.fd, published++, order->pad);
    }
    return published;
}

static void run(const struct order *order) {
    start_run(order);
    int64_t readers = subscriber_count - (order->stop ? stopping_count : 0);
    int64_t start_ns = clock_ns(CLOCK_MONOTONIC), start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    int64_t deadline_ns = start_ns + (int64_t)(order->timeout_seconds * 1e9);
    int64_t published = 0, fired = 0;
    firer = (struct asker){.fd = connect_to(&firer, 0), .status = 200};
    if (order->probe_seconds > 0) prober = (struct asker){.fd = -1};
    for (int is_over = 0; fired < order->events && !is_over;) {
        int64_t first = fired;
        fired = first + order->events_a_fire < order->events ? first + order->events_a_fire : order->events;
        if (!publish_path) {
            char path[128];
            snprintf(path, sizeof path, "/fire?k=%lld&gap=%g&first=%lld&pad=%d", (long long)(fired - first),
                     order->gap_seconds, (long long)first, order->pad);
            ask(&firer, path);
        }
        while (!is_over && (delivered < fired * readers || !firer.status)) {
            if (publish_path) published = publish_due(order, published, fired, start_ns);
            probe(order);
            serve(publish_path || order->probe_seconds > 0 ? 1 : 100);
            is_over = ended || firer.status < 0 || firer.status > 299 || clock_ns(CLOCK_MONOTONIC) > deadline_ns;
        }
    }
    double wall_seconds = (clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    double cpu_seconds = (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_ns) / 1e9;
    if (delivered == order->events * readers) { /* anything more would be one too many */
        deadline_ns = clock_ns(CLOCK_MONOTONIC) + (int64_t)(LINGER_SECONDS * 1e9);
        while (clock_ns(CLOCK_MONOTONIC) < deadline_ns) serve(20);
    }
    if (firer.fd >= 0) close(firer.fd);
    if (prober.fd >= 0) close(prober.fd);
    firer.fd = prober.fd = -1;
    report(order, order->events * readers, cpu_seconds, wall_seconds);
}

static void collect(int backlog) {
    struct order order = {.events = backlog, .timeout_seconds = READY_TIMEOUT_SECONDS};
    int64_t start_ns = clock_ns(CLOCK_MONOTONIC), start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    int64_t deadline_ns = start_ns + READY_TIMEOUT_SECONDS * 1000000000LL;
    start_run(&order);
    subscribe();
    while (delivered < event_count * subscriber_count && !ended && clock_ns(CLOCK_MONOTONIC) < deadline_ns) serve(100);
    first_emit_ns = start_ns;
    report(&order, event_count * subscriber_count, (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_ns) / 1e9,
           (clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9);
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 7) {
        fprintf(stderr, "usage: client PORT SUBSCRIBERS [STOPPING [PUBLISH_PATH [STREAM_PATH BACKLOG]]]\n");
        return 2;
    }
    port = atoi(argv[1]);
    subscriber_count = atoi(argv[2]);
    stopping_count = argc > 3 ? atoi(argv[3]) : 0;
    publish_path = argc > 4 && *argv[4] ? argv[4] : NULL;
    if (argc > 5) stream_path = argv[5];
    subscribers = calloc(subscriber_count, sizeof *subscribers);
    epoll_fd = epoll_create1(0);
    if (!subscribers || epoll_fd < 0) die("start");
    if (argc > 6) collect(atoi(argv[6]));
    else subscribe();
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        struct order o;
        if (sscanf(line, "%lld %lld %lf %d %lf %lf %d", &o.events, &o.events_a_fire, &o.gap_seconds, &o.pad,
                   &o.timeout_seconds, &o.probe_seconds, &o.stop) != 7) return 2;
        if (o.events < 1 || o.events_a_fire < 1 || o.pad < 0 || o.pad > MAX_PAD) return 2;
        run(&o);
    }
    return 0;
}
