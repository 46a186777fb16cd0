// handshake: a new TLS connection for each request, for what handshakes cost.
//
//   handshake PORT PATH CONNS SECONDS full|resume 1.2|1.3
//
// full offers no session; resume continues the latest one that the server gave. Only
// that version of TLS is offered: a resumed handshake of 1.3 has a key exchange, one
// of 1.2 has none.
// A connection that does the other thing is an error, after the first for resume.
// Prints "RESULT requests microseconds errors p50 p99 p99.9" (in us, from the
// connect to the answer's last byte).
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { CONNECTING, SHAKING, ASKING, READING };
struct conn { int fd; enum state state; SSL *ssl; int64_t start; long need; int have; char buf[8192]; };

static int64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }

static SSL_CTX *ctx;
static SSL_SESSION *latest;
static int ep, resume, opened;
static struct sockaddr_in to;
static char request[1024];
static int request_len;
static long total, errors;

// Log-linear histogram, as in gen.c.
static long hist[64 * 40];
static void note(int64_t ns) {
	uint64_t v = ns / 62 + 1;
	int e = 63 - __builtin_clzll(v), s = e >= 6 ? (v >> (e - 6)) & 63 : (v << (6 - e)) & 63, i = e * 64 + s;
	hist[i < 64 * 40 ? i : 64 * 40 - 1]++;
}
static double pct(double p) {
	long want = total * p, n = 0;
	for (int i = 0; i < 64 * 40; i++) if ((n += hist[i]) > want) return (1ULL << (i / 64)) * (1 + (i % 64) / 64.0) * 62 / 1000;
	return 0;
}

static int on_session(SSL *ssl, SSL_SESSION *s) {
	(void)ssl;
	SSL_SESSION_free(latest);
	latest = s;
	return 1; // it is ours now
}

static void want(struct conn *c, uint32_t events) {
	struct epoll_event ev = {.events = events, .data.ptr = c};
	epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static void begin(struct conn *c) {
	int one = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->start = now(), c->state = CONNECTING, c->have = 0, c->need = -1;
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_tlsext_host_name(c->ssl, "localhost");
	if (resume && latest) {
		// A copy: a session that got a new ticket cannot be used by others any more.
		SSL_SESSION *s = SSL_SESSION_dup(latest);
		SSL_set_session(c->ssl, s);
		SSL_SESSION_free(s);
	}
	struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
	if (connect(c->fd, (void *)&to, sizeof to) && errno != EINPROGRESS) { perror("handshake: connect"); exit(1); }
}

static void end(struct conn *c, int bad) {
	errors += bad;
	SSL_set_quiet_shutdown(c->ssl, 1);
	SSL_shutdown(c->ssl); // else OpenSSL thinks that the session is not fit to be resumed
	SSL_free(c->ssl);
	close(c->fd);
	begin(c);
}

// go does what can be done now. It returns when the connection must wait, or has
// been replaced by the next one.
static void go(struct conn *c) {
	int r;
	switch (c->state) {
	case CONNECTING:
		c->state = SHAKING;
		want(c, EPOLLIN); // fall through
	case SHAKING:
		if ((r = SSL_connect(c->ssl)) != 1) {
			if (SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ) end(c, 1);
			return;
		}
		if (SSL_session_reused(c->ssl) ? !resume : resume && opened) errors++;
		opened = 1;
		c->state = ASKING; // fall through
	case ASKING:
		if (SSL_write(c->ssl, request, request_len) != request_len) { end(c, 1); return; }
		c->state = READING; // fall through
	case READING:
		for (;;) {
			if ((r = SSL_read(c->ssl, c->buf + c->have, sizeof c->buf - 1 - c->have)) <= 0) {
				if (SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ) end(c, 1);
				return;
			}
			c->have += r;
			c->buf[c->have] = 0;
			if (c->need < 0) {
				char *e = strstr(c->buf, "\r\n\r\n"), *l = strcasestr(c->buf, "\ncontent-length:");
				if (!e) continue;
				if (strncmp(c->buf + 9, "200", 3) || !l) errors++;
				c->need = (e + 4 - c->buf) + (l ? strtol(l + 16, 0, 10) : 0);
			}
			if (c->have >= c->need) {
				note(now() - c->start), total++;
				end(c, 0);
				return;
			}
		}
	}
}

int main(int argc, char **argv) {
	if (argc < 7) { fprintf(stderr, "usage: handshake PORT PATH CONNS SECONDS full|resume 1.2|1.3\n"); return 2; }
	int conns = atoi(argv[3]), version = strcmp(argv[6], "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
	resume = !strcmp(argv[5], "resume");
	to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	request_len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: handshake/1.0\r\nAccept: */*\r\nConnection: close\r\n\r\n", argv[2]);
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	ep = epoll_create1(0);
	struct conn *all = calloc(conns, sizeof *all);
	int64_t t0 = now(), stop = t0 + atof(argv[4]) * 1e9;
	// The first one alone: it fetches the session that the others continue.
	begin(&all[0]);
	int begun = 1;
	struct epoll_event evs[256];
	while (now() < stop) {
		int n = epoll_wait(ep, evs, 256, 100);
		for (int i = 0; i < n; i++) go(evs[i].data.ptr);
		if (begun < conns && (!resume || latest)) while (begun < conns) begin(&all[begun++]);
	}
	printf("RESULT %ld %ld %ld %.0f %.0f %.0f\n", total, (long)((now() - t0) / 1000), errors, pct(.5), pct(.99), pct(.999));
}
