// SPDX-FileCopyrightText: netops.ephemeral_ports contributors
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Fill this network namespace with TIME_WAIT sockets over lo and hold them.
//
//     populate client|connect|server SOCKETS DESTINATIONS SECONDS
//
// client: TIME_WAIT at 198.18.0.x, on ports 1024 to 65535, towards 198.18.0.1, ports 1 to DESTINATIONS (less than 1024).
//         One source address has 64,512 ports for each destination; beyond that, 198.18.0.2 and so on come in.
// connect: the same, on ports as connect() takes them: the even ones, then the odd ones.
// server: the same connections, but the server closes first: TIME_WAIT at the server's port, towards distinct clients.
//
// Keeps every socket's age below HOLD_S, spread evenly as on a steadily loaded host, and prints "ready" once all are
// there. Ends when standard input ends, or after SECONDS. Wants tcp_rfc1337 = 1 (else the answers to what holds the sockets
// would end them), tcp_tw_reuse = 0 and a large tcp_max_tw_buckets.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_PORT = 1024, PORTS = 65536 - FIRST_PORT, WORKERS = 2, STEP = 64, HOLD_S = 45, BATCHES_PER_S = 100 };
#define FIRST_ADDRESS 0xC6120001u // 198.18.0.1

static long sockets, destinations, seconds;
static int server_closes, as_connect;
static int *listeners;
static atomic_long next_one, busy_from[WORKERS];

static void die(const char *what)
{
    fprintf(stderr, "populate: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in address(uint32_t host, long port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(host), .sin_port = htons((uint16_t)port)};
}

// The two ends of connection number i. Ports are staggered so that no port is shared by all destinations.
static void ends(long i, struct sockaddr_in *client, struct sockaddr_in *server)
{
    long to = i % destinations, nth = i / destinations, turn = nth % PORTS, half = PORTS / 2;
    long port = as_connect ? (turn + to * 73) % half * 2 + turn / half : (nth + to * 73) % PORTS;
    *client = address(FIRST_ADDRESS + (uint32_t)(nth / PORTS), FIRST_PORT + port);
    *server = address(FIRST_ADDRESS, 1 + to);
}

static int new_socket(const struct sockaddr_in *local)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(fd, (const void *)local, sizeof *local))
        die("bind");
    return fd;
}

// With two workers, accept() may return the other one's connection: each closes its first end before it waits.
static void open_and_close(long i)
{
    struct sockaddr_in client, server;
    char end;
    ends(i, &client, &server);
    int ours = new_socket(&client);
    if (connect(ours, (void *)&server, sizeof server))
        die("connect");
    int theirs = accept(listeners[i % destinations], NULL, NULL);
    if (theirs < 0)
        die("accept");
    int first = server_closes ? theirs : ours, second = server_closes ? ours : theirs;
    close(first);
    while (recv(second, &end, 1, 0) > 0)
        ;
    close(second);
}

static void *work(void *busy)
{
    long from;
    while ((from = atomic_fetch_add(&next_one, STEP)) < sockets) {
        atomic_store((atomic_long *)busy, from);
        for (long i = from; i < from + STEP && i < sockets; i++)
            open_and_close(i);
    }
    atomic_store((atomic_long *)busy, sockets);
    return NULL;
}

static uint16_t checksum(const struct iphdr *ip, const struct tcphdr *tcp)
{
    uint16_t words[(8 + sizeof *tcp) / 2];
    memcpy(words, &ip->saddr, 8); // both addresses
    memcpy(words + 4, tcp, sizeof *tcp);
    uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof *tcp);
    for (size_t n = 0; n < sizeof words / 2; n++)
        sum += words[n];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~(sum + (sum >> 16));
}

// A bare ACK from the end that is gone, out of window: the kernel restarts the 60 s of the socket that it reaches.
static void refresh(int raw, long i)
{
    struct sockaddr_in client, server;
    ends(i, &client, &server);
    const struct sockaddr_in *gone = server_closes ? &client : &server, *holder = server_closes ? &server : &client;
    struct { struct iphdr ip; struct tcphdr tcp; } packet = {
        .ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
               .saddr = gone->sin_addr.s_addr, .daddr = holder->sin_addr.s_addr},
        .tcp = {.source = gone->sin_port, .dest = holder->sin_port, .doff = 5, .ack = 1},
    };
    packet.tcp.check = checksum(&packet.ip, &packet.tcp);
    if (sendto(raw, &packet, sizeof packet, 0, (const void *)holder, sizeof *holder) < 0 && errno != ENOBUFS)
        die("sendto");
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// How many of the first sockets are in TIME_WAIT: all before the first one that a worker still handles.
static long filled(void)
{
    long first = sockets;
    for (int n = 0; n < WORKERS; n++)
        if (atomic_load(&busy_from[n]) < first)
            first = atomic_load(&busy_from[n]);
    return first;
}

// Go round the sockets that are there, so that each one's turn comes within HOLD_S.
static void hold(void)
{
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), is_ready = 0;
    if (raw < 0)
        die("raw socket");
    double begin = now();
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    for (long turns = 0, next = 0; now() < begin + (double)seconds;) {
        long there = filled();
        for (long due = (long)((now() - begin) * (double)sockets / HOLD_S); turns < due && there; turns++, next++) {
            next = next < there ? next : 0;
            refresh(raw, next);
        }
        if (there == sockets && !is_ready) {
            is_ready = 1;
            puts("ready");
            fflush(stdout);
        }
        if (poll(&input, 1, 1000 / BATCHES_PER_S) > 0)
            return;
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: populate client|connect|server SOCKETS DESTINATIONS SECONDS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server_closes = !strcmp(argv[1], "server"), as_connect = !strcmp(argv[1], "connect");
    sockets = atol(argv[2]), destinations = atol(argv[3]), seconds = atol(argv[4]);
    if (sockets < 1 || destinations < 1 || destinations >= FIRST_PORT) {
        fprintf(stderr, "populate: 1 or more sockets, 1 to %d destinations\n", FIRST_PORT - 1);
        return 2;
    }
    struct rlimit files = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    listeners = calloc((size_t)destinations, sizeof *listeners);
    for (long d = 0; d < destinations; d++) {
        struct sockaddr_in server = address(FIRST_ADDRESS, 1 + d);
        listeners[d] = new_socket(&server);
        if (listen(listeners[d], 1024))
            die("listen");
    }
    pthread_t worker;
    for (int n = 0; n < WORKERS; n++)
        if (pthread_create(&worker, NULL, work, &busy_from[n]))
            die("pthread_create");
    hold();
    return 0;
}
