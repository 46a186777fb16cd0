// fwd: a byte forwarder without any parsing, the limit for a proxy on epoll.
// Every client connection has its own upstream connection. It is a yardstick:
// it trusts both peers, and a peer that stops reading stops only its own pair.
//
//   fwd PORT UPSTREAM_PORT [THREADS]
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUF 65536
// One of the two connections of a pair; pend holds what its socket refused.
struct side { int fd; struct side *peer; char *pend; int off, len; int dead; struct side *next; };
static int port, up;

// end closes a pair. Events of this round may still point at it, so the caller
// frees what is on the list only when the round is over.
static void end(struct side *s, struct side **list) {
	if (s->dead) return;
	s->dead = s->peer->dead = 1;
	close(s->fd), close(s->peer->fd);
	s->next = *list, *list = s;
}
static void *loop(void *arg) {
	(void)arg;
	int one = 1, ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
	setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(ls, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	setsockopt(ls, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) { perror("fwd: bind"); exit(1); }
	a.sin_port = htons(up);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, evs[256];
	epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
	char *buf = malloc(BUF);
	struct side *ended = NULL;
	for (;;) {
		int n = epoll_wait(ep, evs, 256, -1);
		for (int i = 0; i < n; i++) {
			struct side *s = evs[i].data.ptr;
			if (!s) {
				int fd;
				while ((fd = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0) {
					int u = socket(AF_INET, SOCK_STREAM, 0);
					if (connect(u, (void *)&a, sizeof a)) { close(fd), close(u); continue; }
					setsockopt(u, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
					struct side *p = calloc(1, sizeof *p), *q = calloc(1, sizeof *q);
					p->fd = fd, q->fd = u, p->peer = q, q->peer = p;
					ev = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = p};
					epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
					ev.data.ptr = q;
					epoll_ctl(ep, EPOLL_CTL_ADD, u, &ev);
				}
				continue;
			}
			if (s->dead) continue;
			// Once the peer has sent FIN there is no further event: read to the end.
			int last = (evs[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
			int retry = 0;
			if (s->len) { // s was blocked for output
				while (s->len) {
					ssize_t w = send(s->fd, s->pend + s->off, s->len, MSG_NOSIGNAL | MSG_DONTWAIT);
					if (w < 0) break;
					s->off += w, s->len -= w;
				}
				if (!s->len) free(s->pend), s->pend = 0, retry = 1;
			}
			for (struct side *x = s; x; x = retry && x == s ? s->peer : NULL) {
				if (x == s && !last && !(evs[i].events & EPOLLIN)) continue;
				while (!x->peer->len && !x->dead) {
					ssize_t r = recv(x->fd, buf, BUF, MSG_DONTWAIT);
					if (r < 0 && errno == EAGAIN) break;
					if (r <= 0) { end(x, &ended); break; }
					ssize_t w = send(x->peer->fd, buf, r, MSG_NOSIGNAL | MSG_DONTWAIT);
					if (w < 0) w = 0;
					if (w < r) {
						struct side *p = x->peer;
						p->pend = malloc(r - w), p->off = 0, p->len = r - w;
						__builtin_memcpy(p->pend, buf + w, r - w);
					}
					// A short read means drained. Of the other side we have no event at
					// hand, so after its output unblocked we read until it says so.
					if (r < BUF && x == s && !last) break;
				}
			}
		}
		while (ended) {
			struct side *s = ended;
			ended = s->next;
			free(s->pend), free(s->peer->pend), free(s->peer), free(s);
		}
	}
}
int main(int argc, char **argv) {
	if (argc < 3) { fprintf(stderr, "usage: fwd PORT UPSTREAM_PORT [THREADS]\n"); return 2; }
	port = atoi(argv[1]), up = atoi(argv[2]);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 1; i < (argc > 3 ? atoi(argv[3]) : 1); i++) { pthread_t t; pthread_create(&t, 0, loop, 0); }
	loop(0);
}
