// origin: the cheapest HTTP/1.1 upstream we can write. One epoll loop per
// thread, SO_REUSEPORT, prebuilt responses, one read and one write a request.
//
//   origin PORT [THREADS]
//
// The last path segment picks the response: 128, 1k, 16k, 1m (Content-Length)
// or chunked (4 KiB in four chunks). Request bodies with Content-Length or
// chunked framing are swallowed; a chunked one must not hold the bytes of its
// own last chunk. Anything else answers 404.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <unistd.h>

// A response in two forms: the second says that the connection ends with it.
struct resp { const char *name; struct { char *buf; size_t len; } form[2]; };
static struct resp table[8]; // the first is the answer to a path that we do not know
static int ntable;
static int port;

static void add(const char *name, const char *status, size_t body, int chunks) {
	struct resp *r = &table[ntable++];
	r->name = name;
	for (int close = 0; close < 2; close++) {
		char *b = malloc(body + 4096), *p = b;
		p += sprintf(p, "HTTP/1.1 %s\r\nServer: origin\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n%s",
			status, close ? "Connection: close\r\n" : "");
		if (!chunks) {
			p += sprintf(p, "Content-Length: %zu\r\n\r\n", body);
			memset(p, 'x', body);
			p += body;
		} else {
			p += sprintf(p, "Transfer-Encoding: chunked\r\n\r\n");
			for (int i = 0; i < chunks; i++) {
				size_t n = body / chunks;
				p += sprintf(p, "%zx\r\n", n);
				memset(p, 'x', n);
				p += n;
				p += sprintf(p, "\r\n");
			}
			p += sprintf(p, "0\r\n\r\n");
		}
		r->form[close].buf = b, r->form[close].len = p - b;
	}
}

struct conn {
	int fd, closing;
	size_t have;          // bytes in in[]
	size_t skip;          // request body bytes still to swallow
	int chunked;          // request body is chunked; ends at 0\r\n\r\n
	const char *out;      // pending response
	size_t outlen;
	char in[16384];
};

static void drop(struct conn *c) { close(c->fd); free(c); }

// flush_out returns 0 when everything is written, 1 when blocked, -1 when dead.
static int flush_out(struct conn *c) {
	while (c->outlen) {
		ssize_t n = send(c->fd, c->out, c->outlen, MSG_NOSIGNAL);
		if (n < 0) return errno == EAGAIN ? 1 : -1;
		c->out += n, c->outlen -= n;
	}
	return 0;
}

static char *header(char *head, const char *name) {
	char *h = strcasestr(head, name);
	return h ? h + strlen(name) : NULL;
}

// step handles whatever is buffered; 0 go on, 1 blocked on write, -1 drop.
static int step(struct conn *c) {
	for (;;) {
		if (c->outlen) {
			int r = flush_out(c);
			if (r) return r;
			if (c->closing) return -1;
		}
		if (c->skip) {
			size_t n = c->skip < c->have ? c->skip : c->have;
			memmove(c->in, c->in + n, c->have - n);
			c->have -= n, c->skip -= n;
			if (c->skip) return 0;
		}
		if (c->chunked) {
			char *e = memmem(c->in, c->have, "0\r\n\r\n", 5);
			if (!e) {
				if (c->have > 5) { memmove(c->in, c->in + c->have - 5, 5); c->have = 5; }
				return 0;
			}
			size_t n = e + 5 - c->in;
			memmove(c->in, c->in + n, c->have - n);
			c->have -= n, c->chunked = 0;
		}
		char *end = c->have >= 4 ? memmem(c->in, c->have, "\r\n\r\n", 4) : NULL;
		if (!end) return c->have == sizeof c->in - 1 ? -1 : 0;
		end[2] = 0; // terminate the head for the searches below
		char *sp = strchr(c->in, ' ');
		char *q = sp ? strchr(sp + 1, ' ') : NULL;
		if (!q) return -1;
		char *seg = q;
		while (seg > sp && seg[-1] != '/') seg--;
		struct resp *r = &table[0];
		for (int i = 1; i < ntable; i++)
			if ((size_t)(q - seg) == strlen(table[i].name) && !memcmp(seg, table[i].name, q - seg)) r = &table[i];
		char *h;
		if (c->in[0] == 'P') { // POST, PUT, PATCH: only these carry bodies here
			if ((h = header(c->in, "\ncontent-length:"))) c->skip = strtoul(h, 0, 10);
			else if (header(c->in, "\ntransfer-encoding:")) c->chunked = 1;
		}
		if ((h = header(c->in, "\nconnection:")) && strcasestr(h, "close")) c->closing = 1;
		c->out = r->form[c->closing].buf, c->outlen = r->form[c->closing].len;
		size_t n = end + 4 - c->in;
		if (n < c->have) memmove(c->in, c->in + n, c->have - n);
		c->have -= n;
	}
}

static void *loop(void *arg) {
	(void)arg;
	int one = 1, ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
	setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(ls, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) { perror("origin: bind"); exit(1); }
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, evs[256];
	epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
	for (;;) {
		int n = epoll_wait(ep, evs, 256, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;
			if (!c) {
				int fd;
				while ((fd = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0) {
					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
					c = calloc(1, sizeof *c);
					c->fd = fd;
					ev = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
					epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
				}
				continue;
			}
			int blocked = c->outlen != 0;
			if (!blocked) {
				ssize_t r = recv(c->fd, c->in + c->have, sizeof c->in - 1 - c->have, 0);
				if (r <= 0) { if (r < 0 && errno == EAGAIN) continue; drop(c); continue; }
				c->have += r;
			}
			int s = step(c);
			if (s < 0) { drop(c); continue; }
			if ((s == 1) != blocked) {
				ev = (struct epoll_event){.events = s == 1 ? EPOLLOUT : EPOLLIN, .data.ptr = c};
				epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
			}
		}
	}
}

int main(int argc, char **argv) {
	if (argc < 2) { fprintf(stderr, "usage: origin PORT [THREADS]\n"); return 2; }
	port = atoi(argv[1]);
	int threads = argc > 2 ? atoi(argv[2]) : 1;
	struct rlimit rl = {1 << 20, 1 << 20};
	setrlimit(RLIMIT_NOFILE, &rl);
	signal(SIGPIPE, SIG_IGN);
	add("", "404 Not Found", 0, 0);
	add("128", "200 OK", 128, 0);
	add("1k", "200 OK", 1 << 10, 0);
	add("16k", "200 OK", 16 << 10, 0);
	add("1m", "200 OK", 1 << 20, 0);
	add("chunked", "200 OK", 4 << 10, 4);
	for (int i = 1; i < threads; i++) { pthread_t t; pthread_create(&t, 0, loop, 0); }
	loop(0);
}
