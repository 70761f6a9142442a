// SPDX-FileCopyrightText: netops.ephemeral_ports contributors
// SPDX-License-Identifier: GPL-3.0-or-later
//
// The floor: what the question costs in C. Which TIME_WAIT and live sockets are there, IPv4 and IPv6, per destination, on
// the ports that connect() may choose, and how old are they? One dump, with nothing but the counting around it.
//
//     floor LOW HIGH      the range of ephemeral ports
//
// Prints one line per destination: source, address, port, sockets in TIME_WAIT, live ones, and how many of the first
// were closed within the last 1, 10 and 60 s. Then one line with the sockets in each state.

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIME_WAIT = 6, CLOSE = 7, LISTEN = 10, STATES = 16, EVERY_STATE = (1 << 14) - 2 };
enum { TIME_WAIT_MS = 60000, TICK_SHIFT = 8, TICKS = 256 };

struct key {
    uint32_t from[4], to[4];
    uint16_t port;
    uint8_t family;
};

struct destination {
    struct key key;
    uint32_t used, live, ticks[TICKS];
};

static struct destination *table;
static size_t size = 64, filled;
static uint8_t is_held[65536];
static uint64_t states[STATES];
static long low, high;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static size_t slot_of(const struct key *key)
{
    uint64_t hash = key->port;
    for (int n = 0; n < 4; n++)
        hash = (hash ^ key->from[n] ^ (uint64_t)key->to[n] << 32) * 0x9E3779B97F4A7C15u;
    size_t slot = (hash ^ hash >> 32) & (size - 1);
    while (table[slot].used && memcmp(&table[slot].key, key, sizeof *key))
        slot = (slot + 1) & (size - 1);
    return slot;
}

static void grow(void)
{
    struct destination *old = table;
    size_t old_size = size;
    size *= 2;
    if (!(table = calloc(size, sizeof *table)))
        die("calloc");
    for (size_t n = 0; n < old_size; n++)
        if (old[n].used)
            table[slot_of(&old[n].key)] = old[n];
    free(old);
}

// The kernel lists those who hold a port (listeners, and since Linux 6.8 bound sockets) before all others.
static void count(const struct inet_diag_msg *one)
{
    uint16_t local = ntohs(one->id.idiag_sport);
    states[one->idiag_state % STATES]++;
    if (one->idiag_state == LISTEN || one->idiag_state == CLOSE) {
        is_held[local] = 1;
        return;
    }
    if (local < low || local > high || is_held[local])
        return;
    struct key key;
    memset(&key, 0, sizeof key);
    memcpy(key.from, one->id.idiag_src, sizeof key.from);
    memcpy(key.to, one->id.idiag_dst, sizeof key.to);
    key.port = one->id.idiag_dport;
    key.family = one->idiag_family;
    if (key.family == AF_INET6 && !key.from[0] && !key.from[1] && key.from[2] == htonl(0xffff)) { // v4-mapped
        key.family = AF_INET;
        key.from[0] = key.from[3], key.to[0] = key.to[3];
        key.from[2] = key.from[3] = key.to[2] = key.to[3] = 0;
    }
    size_t slot = slot_of(&key);
    if (!table[slot].used) {
        if (++filled * 2 > size) {
            grow();
            slot = slot_of(&key);
        }
        table[slot].used = 1;
        table[slot].key = key;
    }
    uint32_t tick = one->idiag_expires >> TICK_SHIFT;
    if (one->idiag_state == TIME_WAIT)
        table[slot].ticks[tick < TICKS ? tick : TICKS - 1]++;
    else
        table[slot].live++;
}

// TCPDIAG_GETSOCK is the older request: it answers for IPv4 and IPv6 together.
static void dump(int netlink)
{
    static char buffer[32768];
    struct { struct nlmsghdr head; struct inet_diag_req body; } request = {
        .head = {.nlmsg_len = sizeof request, .nlmsg_type = TCPDIAG_GETSOCK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.idiag_states = EVERY_STATE},
    };
    if (send(netlink, &request, sizeof request, 0) < 0)
        die("send");
    for (;;) {
        ssize_t left = recv(netlink, buffer, sizeof buffer, 0);
        if (left < 0)
            die("recv");
        for (const struct nlmsghdr *one = (void *)buffer; NLMSG_OK(one, left); one = NLMSG_NEXT(one, left)) {
            if (one->nlmsg_type == NLMSG_DONE)
                return;
            if (one->nlmsg_type == NLMSG_ERROR)
                die("NLMSG_ERROR");
            count(NLMSG_DATA(one));
        }
    }
}

static void print(const struct destination *one)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    uint32_t within[3] = {0};
    static const int youngest_ms[3] = {1000, 10000, TIME_WAIT_MS + 1};
    for (int tick = 0; tick < TICKS; tick++)
        for (int n = 0; n < 3; n++)
            if (TIME_WAIT_MS - (((tick + 1) << TICK_SHIFT) - 1) < youngest_ms[n])
                within[n] += one->ticks[tick];
    inet_ntop(one->key.family, one->key.from, from, sizeof from);
    inet_ntop(one->key.family, one->key.to, to, sizeof to);
    printf("%s %s %u %u %u %u %u %u\n", from, to, ntohs(one->key.port), within[2], one->live, within[0], within[1], within[2]);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    low = atol(argv[1]), high = atol(argv[2]);
    if (!(table = calloc(size, sizeof *table)))
        die("calloc");
    int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
    if (netlink < 0)
        die("socket");
    dump(netlink);
    for (size_t n = 0; n < size; n++)
        if (table[n].used)
            print(&table[n]);
    for (int state = 0; state < STATES; state++)
        printf(state + 1 < STATES ? "%lu " : "%lu\n", states[state]);
    return 0;
}
