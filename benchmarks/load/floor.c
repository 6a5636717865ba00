/* floor.c: what the kernel alone asks for a delivery. A server that only sends.
 *
 * usage: floor PORT   (127.0.0.1)
 * GET /events subscribes. GET /fire?k=K&gap=SECONDS&first=I sends K events, numbered from I, to every
 * subscriber, each framed once and then sent by one send() a subscriber. GET /plain answers at once.
 * It does nothing else that a server must do, so no server can be expected to reach it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SUBSCRIBERS = 1 << 16, BACKLOG = 2048, PADDING = 60 };

static const char SUBSCRIBED[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    "9\r\n: ready\n\n\r\n";
static const char PLAIN[] = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain";
static const char FIRED[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

static int subscribers[MAX_SUBSCRIBERS], subscriber_count;

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* Wait for room and try again: a subscriber that reads slowly is waited for, as nothing may be lost. */
static void send_all(int fd, const char *bytes, size_t count) {
    while (count) {
        ssize_t sent = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            count -= sent;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

static int frame(char *chunk, size_t room, int sequence) {
    struct timespec t;
    char event[256], title[PADDING + 1];
    memset(title, 'x', PADDING);
    title[PADDING] = 0;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int bytes = snprintf(event, sizeof event, "data: {\"t\":%lld,\"i\":%d,\"title\":\"%s\",\"done\":false}\n\n",
                         t.tv_sec * 1000000000LL + t.tv_nsec, sequence, title);
    return snprintf(chunk, room, "%x\r\n%s\r\n", bytes, event);
}

/* Events are due at fixed times; what it is late with is sent at once. */
static void fire(int events, double gap_seconds, int first) {
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    double start = due.tv_sec + due.tv_nsec / 1e9;
    for (int i = 0; i < events; i++) {
        char chunk[320];
        int bytes = frame(chunk, sizeof chunk, first + i);
        for (int s = 0; s < subscriber_count; s++) send_all(subscribers[s], chunk, bytes);
        double next = start + (i + 1) * gap_seconds;
        due = (struct timespec){.tv_sec = (time_t)next, .tv_nsec = (long)((next - (time_t)next) * 1e9)};
        if (gap_seconds > 0) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
}

static void forget(int fd) {
    for (int i = 0; i < subscriber_count; i++) {
        if (subscribers[i] == fd) {
            subscribers[i] = subscribers[--subscriber_count];
            break;
        }
    }
    close(fd);
}

static void answer(int fd) {
    char request[4096];
    int events, first;
    double gap_seconds;
    ssize_t got = recv(fd, request, sizeof request - 1, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) forget(fd);
        return;
    }
    request[got] = 0;
    if (sscanf(request, "GET /fire?k=%d&gap=%lf&first=%d", &events, &gap_seconds, &first) == 3) {
        fire(events, gap_seconds, first);
        send_all(fd, FIRED, sizeof FIRED - 1);
    } else if (strncmp(request, "GET /plain", 10) == 0) {
        send_all(fd, PLAIN, sizeof PLAIN - 1);
    } else if (subscriber_count < MAX_SUBSCRIBERS) {
        send_all(fd, SUBSCRIBED, sizeof SUBSCRIBED - 1);
        subscribers[subscriber_count++] = fd;
    } else {
        close(fd);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll_fd = epoll_create1(0), on = 1;
    if (listener < 0 || epoll_fd < 0) die("socket");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)) die("bind");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event)) die("epoll_ctl");
    for (;;) {
        struct epoll_event ready[256];
        int count = epoll_wait(epoll_fd, ready, 256, -1);
        for (int e = 0; e < count; e++) {
            if (ready[e].data.fd != listener) {
                answer(ready[e].data.fd);
                continue;
            }
            event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (event.data.fd < 0) continue;
            setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event)) die("epoll_ctl");
        }
    }
}
