// h2c: the cheapest HTTP/2 upstream that we can write, in the clear and with
// prior knowledge. One epoll loop, prebuilt frames, one read and one write for all
// requests that came together.
//
//   h2c PORT
//
// Every request is answered with 200 and 128 bytes, whatever it asks for: field
// blocks are not decoded, request bodies are swallowed. It trusts its client to open
// its windows in time.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN = 1 << 20, OUT = 4 << 20, BODY = 128 };

struct conn {
	int fd, greeted, blocked;
	size_t have, out, sent;
	char in[IN];
	char buf[OUT];
};

static char answer[512]; // HEADERS and DATA; the stream's number is filled in
static size_t alen, datum;

static size_t header(char *p, size_t n, int type, int flags, unsigned stream) {
	p[0] = n >> 16, p[1] = n >> 8, p[2] = n, p[3] = type, p[4] = flags;
	p[5] = stream >> 24, p[6] = stream >> 16, p[7] = stream >> 8, p[8] = stream;
	return 9;
}

static void prepare(void) {
	char block[128], *b = block;
	*b++ = (char)0x88; // :status 200
	b += sprintf(b, "%c%c%s", 0x0f, 0x10, "\ntext/plain"); // content-type: index 31
	b += sprintf(b, "%c%c%s", 0x0f, 0x0d, "\003128");      // content-length: index 28
	b += sprintf(b, "%c%c%s", 0x0f, 0x27, "\006origin");   // server: index 54
	size_t n = b - block;
	alen = header(answer, n, 1, 4, 0);
	memcpy(answer + alen, block, n);
	datum = alen += n;
	alen += header(answer + alen, BODY, 0, 1, 0);
	memset(answer + alen, 'x', BODY);
	alen += BODY;
}

static void put(struct conn *c, const char *p, size_t n) {
	if (c->out + n > OUT)
		exit(1); // a client that does not read is none that we measure
	memcpy(c->buf + c->out, p, n);
	c->out += n;
}

static void respond(struct conn *c, const char *stream) {
	size_t at = c->out;
	put(c, answer, alen);
	memcpy(c->buf + at + 5, stream, 4);
	memcpy(c->buf + at + datum + 5, stream, 4);
}

// take takes in whole frames; it returns -1 if the client speaks no HTTP/2.
static int take(struct conn *c) {
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	size_t i = 0;
	if (!c->greeted) {
		if (c->have < sizeof preface - 1)
			return 0;
		if (memcmp(c->in, preface, sizeof preface - 1))
			return -1;
		i = sizeof preface - 1;
		c->greeted = 1;
		char f[9];
		put(c, f, header(f, 0, 4, 0, 0));
	}
	while (c->have - i >= 9) {
		unsigned char *h = (unsigned char *)c->in + i;
		size_t n = h[0] << 16 | h[1] << 8 | h[2];
		if (c->have - i < 9 + n)
			break;
		char f[9 + 8];
		switch (h[3]) {
		case 0: // DATA: the windows are opened again at once
			if (n) {
				header(f, 4, 8, 0, 0);
				f[9] = 0, f[10] = n >> 16, f[11] = n >> 8, f[12] = n;
				put(c, f, 13);
				memcpy(f + 5, h + 5, 4);
				put(c, f, 13);
			}
			/* fall through */
		case 1: // HEADERS
			if (h[4] & 1)
				respond(c, (char *)h + 5);
			break;
		case 4: // SETTINGS
			if (!(h[4] & 1))
				put(c, f, header(f, 0, 4, 1, 0));
			break;
		case 6: // PING
			if (!(h[4] & 1)) {
				header(f, 8, 6, 1, 0);
				memcpy(f + 9, h + 9, 8);
				put(c, f, 17);
			}
		}
		i += 9 + n;
	}
	memmove(c->in, c->in + i, c->have -= i);
	return 0;
}

static int flush(struct conn *c, int ep) {
	while (c->sent < c->out) {
		ssize_t n = write(c->fd, c->buf + c->sent, c->out - c->sent);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -1;
		if (n < 0) {
			if (!c->blocked) {
				struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
				epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
				c->blocked = 1;
			}
			return 0;
		}
		c->sent += n;
	}
	c->sent = c->out = 0;
	if (c->blocked) {
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
		epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
		c->blocked = 0;
	}
	return 0;
}

static int serve(struct conn *c, int ep) {
	ssize_t n = read(c->fd, c->in + c->have, IN - c->have);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return -1;
	if (n > 0) {
		c->have += n;
		if (take(c) < 0)
			return -1;
	}
	return flush(c, ep);
}

int main(int argc, char **argv) {
	if (argc < 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	prepare();
	int one = 1, ln = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
	setsockopt(ln, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(ln, (struct sockaddr *)&a, sizeof a) || listen(ln, 512)) {
		perror("h2c");
		return 1;
	}
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[64];
	epoll_ctl(ep, EPOLL_CTL_ADD, ln, &e);
	for (;;) {
		int n = epoll_wait(ep, ready, 64, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = ready[i].data.ptr;
			if (c) {
				if (serve(c, ep) < 0) {
					close(c->fd);
					free(c);
				}
				continue;
			}
			int fd = accept4(ln, NULL, NULL, SOCK_NONBLOCK);
			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			c = malloc(sizeof *c);
			c->fd = fd, c->greeted = c->blocked = 0, c->have = c->out = c->sent = 0;
			struct epoll_event in = {.events = EPOLLIN, .data.ptr = c};
			epoll_ctl(ep, EPOLL_CTL_ADD, fd, &in);
		}
	}
}
