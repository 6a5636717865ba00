/* wire.h: bytes of one HTTP/1.1 response in, server-sent events out. No sockets, no clock.
 *
 * Fed by client.c with whatever recv() returned, in any split: a frame may come in many pieces, many
 * frames may come in one chunk, and a chunk may end in the middle of a line. Feeds on_event() of
 * client.c. Lines end in LF or CRLF (WHATWG HTML 9.2 also allows a lone CR, which no peer here sends).
 */
#ifndef WIRE_H
#define WIRE_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { LINE_BYTES = 4096 };

enum wire_state { HEAD, CHUNK_HEAD, CHUNK_BODY, CHUNK_TAIL, PLAIN_BODY, ENDED, BROKEN };

/* A line that is not complete yet. */
struct part {
    int bytes;
    char text[LINE_BYTES];
};

struct wire {
    enum wire_state state;
    int status;               /* of the response; 0 until its first line is here */
    bool chunked;
    uint64_t chunk_left;      /* bytes of the current chunk that are still to come */
    uint64_t chunks;          /* begun: one for each write of the server's application; unchunked, each recv() */
    struct part http, event;  /* two, for a chunk may end in the middle of an event's line */
    bool has_data, is_gap;    /* of the event that is being read */
    int64_t emitted_ns, sequence;
};

void on_event(struct wire *w); /* an event with data is complete: is_gap, emitted_ns, sequence */

/* The integer after a JSON key, or -1. The payload is ours: the key occurs once and is no one's value. */
static int64_t number_after(const char *line, int bytes, const char *key) {
    const char *at = memmem(line, bytes, key, strlen(key));
    if (!at) return -1;
    const char *end = line + bytes;
    int64_t number = 0;
    at += strlen(key);
    while (at < end && *at == ' ') at++;
    if (at == end || *at < '0' || *at > '9') return -1;
    while (at < end && *at >= '0' && *at <= '9') number = number * 10 + (*at++ - '0');
    return number;
}

static bool starts(const char *line, int bytes, const char *prefix) {
    int wanted = strlen(prefix);
    return bytes >= wanted && memcmp(line, prefix, wanted) == 0;
}

static void head_line(struct wire *w, const char *line, int bytes) {
    static const char CODING[] = "transfer-encoding: chunked";
    if (!w->status) {
        w->status = bytes >= 12 && starts(line, bytes, "HTTP/1.") ? (int)number_after(line + 8, bytes - 8, " ") : -1;
        if (w->status != 200) w->state = BROKEN;
    } else if (bytes == 0) {
        w->state = w->chunked ? CHUNK_HEAD : PLAIN_BODY; /* which lasts until the connection ends */
    } else if (bytes == sizeof CODING - 1 && strncasecmp(line, CODING, bytes) == 0) {
        w->chunked = true;
    }
}

static void chunk_line(struct wire *w, const char *line, int bytes) {
    uint64_t size = 0;
    int i = 0;
    for (; i < bytes && line[i] != ';' && line[i] != ' '; i++) {
        char c = line[i] | 0x20;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || size >> 32) { w->state = BROKEN; return; }
        size = size * 16 + digit;
    }
    if (i == 0) { w->state = BROKEN; return; }
    w->chunks += size > 0;
    w->chunk_left = size;
    w->state = size ? CHUNK_BODY : ENDED;
}

static void event_line(struct wire *w, const char *line, int bytes) {
    if (bytes == 0) {
        if (w->has_data) on_event(w);
        w->has_data = w->is_gap = false;
    } else if (starts(line, bytes, "data:")) {
        w->has_data = true;
        w->emitted_ns = number_after(line, bytes, "\"t\":");
        w->sequence = number_after(line, bytes, "\"i\":");
    } else if (starts(line, bytes, "event:")) {
        w->is_gap = memmem(line, bytes, "gap", 3) != NULL;
    }
}

static void complete_line(struct wire *w, enum wire_state kind, const char *line, int bytes) {
    if (bytes && line[bytes - 1] == '\r') bytes--;
    if (kind == HEAD) head_line(w, line, bytes);
    else if (kind == CHUNK_HEAD) chunk_line(w, line, bytes);
    else if (kind == CHUNK_TAIL) w->state = bytes ? BROKEN : CHUNK_HEAD;
    else event_line(w, line, bytes);
}

/* Take one line, or what there is of it; return the bytes taken. */
static int64_t take_line(struct wire *w, struct part *part, const char *bytes, int64_t count) {
    enum wire_state kind = w->state;
    const char *newline = memchr(bytes, '\n', count);
    int64_t text = newline ? newline - bytes : count;
    if (newline && !part->bytes) {
        complete_line(w, kind, bytes, text);
        return text + 1;
    }
    if (part->bytes + text > LINE_BYTES) {
        w->state = BROKEN;
        return count;
    }
    memcpy(part->text + part->bytes, bytes, text);
    part->bytes += text;
    if (newline) {
        int whole = part->bytes;
        part->bytes = 0;
        complete_line(w, kind, part->text, whole);
    }
    return text + (newline != NULL);
}

static void wire_feed(struct wire *w, const char *bytes, int64_t count) {
    while (count > 0 && w->state < ENDED) {
        int64_t taken;
        if (w->state == PLAIN_BODY) {
            taken = take_line(w, &w->event, bytes, count);
        } else if (w->state == CHUNK_BODY) {
            taken = take_line(w, &w->event, bytes, count < (int64_t)w->chunk_left ? count : (int64_t)w->chunk_left);
            w->chunk_left -= taken;
            if (!w->chunk_left && w->state == CHUNK_BODY) w->state = CHUNK_TAIL;
        } else {
            taken = take_line(w, &w->http, bytes, count);
        }
        bytes += taken;
        count -= taken;
    }
    w->chunks += w->state == PLAIN_BODY;
}
#endif
