/* TFTP load generator, and the smallest server there can be as the ceiling to measure against.
 *
 *   load get ADDRESS PORT NAME CLIENTS BLKSIZE WINDOWSIZE SECONDS     read NAME with that many clients at once
 *   load put ADDRESS PORT NAME CLIENTS BLKSIZE WINDOWSIZE OCTETS      write NAME.0, NAME.1, ... of OCTETS each
 *   load serve PORT                                                   send from memory to whoever asks
 *
 * get and put print one line of JSON: seconds from the first request to the last block, octets, clients that
 * failed, seconds to the first block and to the end (median, 99th percentile or maximum). What is received is
 * counted, not compared: that is the tests' work. A client gives up after TRIES timeouts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RRQ = 1, WRQ, DATA, ACK, ERROR, OACK, TRIES = 6, MAX_WINDOW = 64 };

struct client {
    int fd, connected, done, failed, tries, request_size, pending, reported;
    long block, blksize, window, octets, size; /* block: the last one received in order, or acknowledged */
    double started, first, ended, deadline;
    char request[512], last[65600];
    int last_size;
};

static struct sockaddr_in server;
static double give_up;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) { perror(what), exit(1); }

static void put16(char *to, int value) { to[0] = value >> 8, to[1] = value; }

static int get16(const char *from) { return (unsigned char)from[0] << 8 | (unsigned char)from[1]; }

static void finish(struct client *c, int failed) { c->done = 1, c->failed = failed, c->ended = now(), close(c->fd); }

/* Send the last datagram, or for an upload its window, again or for the first time. */
static void say(struct client *c)
{
    c->deadline = now() + (c->tries < 2 ? 1 : 3);
    if (!c->connected)
        sendto(c->fd, c->request, c->request_size, 0, (void *)&server, sizeof server);
    else if (c->last_size)
        send(c->fd, c->last, c->last_size, 0);
}

static void acknowledge(struct client *c)
{
    put16(c->last, ACK), put16(c->last + 2, c->block & 0xffff), c->last_size = 4, c->pending = 0;
    say(c);
}

/* Send blocks of a file of size octets, up to 64 in one piece, which the kernel cuts (UDP_SEGMENT). */
static void send_blocks(int fd, long first, long last, long blksize, long size)
{
    static char data[65536];
    int step = blksize + 4, burst = 65507 / step < 64 ? 65507 / step : 64;
    if (last > first)
        setsockopt(fd, SOL_UDP, UDP_SEGMENT, &step, sizeof step);
    for (long block = first, octets = 0; block <= last; octets = 0) {
        for (int run = 0; run < burst && block <= last; run++, block++) {
            long left = size - (block - 1) * blksize;
            put16(data + octets, DATA), put16(data + octets + 2, block & 0xffff);
            octets += 4 + (left < blksize ? left : blksize);
        }
        send(fd, data, octets, 0);
    }
}

/* Upload: send the blocks behind the one that was acknowledged. */
static void send_window(struct client *c)
{
    long final = c->size / c->blksize + 1, last = c->block + c->window;
    send_blocks(c->fd, c->block + 1, last < final ? last : final, c->blksize, c->size);
    c->deadline = now() + (c->tries < 2 ? 1 : 3);
}

static void take_oack(struct client *c, const char *packet, int size)
{
    c->blksize = 512, c->window = 1;
    for (const char *p = packet + 2; p < packet + size;) {
        const char *value = p + strlen(p) + 1;
        if (!strcasecmp(p, "blksize"))
            c->blksize = atol(value);
        if (!strcasecmp(p, "windowsize"))
            c->window = atol(value);
        p = value + strlen(value) + 1;
    }
}

static void take(struct client *c, char *packet, int size, int writing)
{
    int opcode = get16(packet);
    c->tries = 0;
    if (!c->first)
        c->first = now();
    if (opcode == ERROR) {
        finish(c, 1);
    } else if (opcode == OACK) {
        packet[size] = 0;
        take_oack(c, packet, size);
        writing ? send_window(c) : acknowledge(c);
    } else if (opcode == ACK && writing) {
        long ahead = (get16(packet + 2) - c->block) & 0xffff, final = c->size / c->blksize + 1;
        if (c->pending++ && (ahead == 0 || ahead > c->window))
            return; /* not the ACK 0 that begins it */
        c->block += ahead;
        if (c->block == final)
            c->octets = c->size, finish(c, 0);
        else
            send_window(c);
    } else if (opcode == DATA && !writing) {
        int ahead = (get16(packet + 2) - (c->block + 1)) & 0xffff;
        int last = size - 4 < c->blksize;
        if (ahead == 0) {
            c->block++, c->octets += size - 4, c->reported = 0;
            if (++c->pending == c->window || last)
                acknowledge(c);
            if (last)
                finish(c, 0);
        } else if (ahead < c->window && !c->reported) {
            c->reported = 1; /* RFC 7440 section 4: report a gap, once */
            acknowledge(c);
        }
    }
}

/* Take what has come; the kernel hands over a run of datagrams that was sent as one in one piece (UDP_GRO). */
static void readable(struct client *c, int writing)
{
    static char run[65536], control[CMSG_SPACE(sizeof(int))];
    int most = c->window > 1 ? MAX_WINDOW : 1; /* in lock-step there is no second one to look for */
    for (int i = 0; i < most && !c->done; i++) {
        struct sockaddr_in from;
        struct iovec place = {run, sizeof run - 1};
        struct msghdr message = {&from, sizeof from, &place, 1, control, sizeof control, 0};
        int size = recvmsg(c->fd, &message, MSG_DONTWAIT), step = size;
        if (size < 4)
            return;
        for (struct cmsghdr *m = CMSG_FIRSTHDR(&message); m; m = CMSG_NXTHDR(&message, m))
            if (m->cmsg_level == SOL_UDP && m->cmsg_type == UDP_GRO)
                memcpy(&step, CMSG_DATA(m), sizeof step);
        if (!c->connected)
            c->connected = !connect(c->fd, (void *)&from, sizeof from);
        for (char *p = run; p < run + size && !c->done; p += step)
            take(c, p, run + size - p < step ? run + size - p : step, writing);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct client *clients, int count, double started)
{
    double *first = calloc(count, sizeof *first), *total = calloc(count, sizeof *total), end = started;
    long octets = 0, failed = 0;
    int n = 0;
    for (struct client *c = clients; c < clients + count; c++) {
        octets += c->octets, failed += c->failed;
        end = c->ended > end ? c->ended : end;
        if (!c->failed)
            first[n] = c->first - c->started, total[n++] = c->ended - c->started;
    }
    qsort(first, n, sizeof *first, by_value);
    qsort(total, n, sizeof *total, by_value);
    printf("{\"seconds\": %.6f, \"octets\": %ld, \"failed\": %ld, \"first_p99\": %.6f, \"end_p50\": %.6f, "
           "\"end_max\": %.6f}\n", end - started, octets, failed, n ? first[n * 99 / 100] : 0,
           n ? total[n / 2] : 0, n ? total[n - 1] : 0);
}

static void load(int writing, const char *name, int count, long blksize, long window, long size)
{
    struct client *clients = calloc(count, sizeof *clients);
    int epoll = epoll_create1(0), left = count;
    double started = now(), next_look = started + 0.2;
    for (int i = 0; i < count; i++) {
        struct client *c = &clients[i];
        int room = 4 << 20, yes = 1;
        c->fd = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(c->fd, SOL_UDP, UDP_GRO, &yes, sizeof yes);
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        c->blksize = 512, c->window = 1, c->size = size, c->started = now();
        put16(c->request, writing ? WRQ : RRQ);
        char *p = c->request + 2;
        p += sprintf(p, writing ? "%s.%d" : "%s", name, i) + 1;
        p += sprintf(p, "octet") + 1;
        if (blksize != 512)
            p += sprintf(p, "blksize") + 1, p += sprintf(p, "%ld", blksize) + 1;
        if (window > 1)
            p += sprintf(p, "windowsize") + 1, p += sprintf(p, "%ld", window) + 1;
        c->request_size = p - c->request;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (c->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
            die("socket");
        say(c);
    }
    while (left && now() < give_up) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!c->done)
                readable(c, writing), left -= c->done;
        }
        if (now() < next_look)
            continue;
        next_look = now() + 0.2;
        for (struct client *c = clients; c < clients + count; c++) {
            if (c->done || now() < c->deadline)
                continue;
            if (++c->tries > TRIES)
                finish(c, 1), left--;
            else if (writing && c->connected)
                send_window(c);
            else
                say(c);
        }
    }
    for (struct client *c = clients; c < clients + count; c++)
        if (!c->done)
            finish(c, 1);
    report(clients, count, started);
}

/* Begin what a client asks for by a name that is a number: a file of so many octets. */
static void answer(int door, int epoll)
{
    char packet[1024];
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int n = recvfrom(door, packet, sizeof packet - 1, 0, (void *)&peer, &length);
    struct client *c = calloc(1, sizeof *c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    packet[n] = 0;
    char *options = packet + 2 + strlen(packet + 2) + 1;
    options += strlen(options) + 1;
    c->fd = socket(AF_INET, SOCK_DGRAM, 0), c->size = atol(packet + 2), c->connected = 1;
    c->last_size = packet + n - options + 2;
    put16(c->last, OACK), memcpy(c->last + 2, options, c->last_size - 2);
    take_oack(c, c->last, c->last_size);
    if (connect(c->fd, (void *)&peer, sizeof peer) || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
        die("connect");
    if (c->last_size > 2)
        send(c->fd, c->last, c->last_size, 0);
    else
        send_window(c);
}

/* No timers, no files: what the kernel and the wire allow with a socket for each client. */
static void serve(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event events[256] = {{.events = EPOLLIN}};
    int door = socket(AF_INET, SOCK_DGRAM, 0), epoll = epoll_create1(0), room = 4 << 20;
    setsockopt(door, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (bind(door, (void *)&here, sizeof here) || epoll_ctl(epoll, EPOLL_CTL_ADD, door, events))
        die("bind");
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!c)
                answer(door, epoll);
            else if (readable(c, 1), c->done)
                free(c);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "serve"))
        serve(atoi(argv[2]));
    int writing = argc > 1 && !strcmp(argv[1], "put");
    if (argc != 9 || (!writing && strcmp(argv[1], "get")))
        return fprintf(stderr, "usage: see the head of load.c\n"), 2;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    inet_pton(AF_INET, argv[2], &server.sin_addr);
    give_up = now() + (writing ? 60 : atof(argv[8]));
    load(writing, argv[4], atoi(argv[5]), atol(argv[6]), atol(argv[7]), writing ? atol(argv[8]) : 0);
    return 0;
}
