package lab

import (
	"context"
	"syscall"

	"github.com/miekg/dns"

	"github.com/gatewhy/gatewhy/fault"
)

// localRecipes are the gateway's own limits and those of its machine.
func localRecipes() []*Recipe {
	// local is a fault of the gateway before a good origin.
	local := func(name string, want fault.ID, status int, why string) *Recipe {
		r := refused(name, want, "").status(status).lost().because(why).does((*Conn).GoodAll)
		r.Where = Local
		return r
	}
	machine := func(name string, want fault.ID, status int, e syscall.Errno, why string) *Recipe {
		r := local(name, want, status, why)
		r.Where, r.Inject = Injected, Injection{DialErrno: e}
		return r
	}
	shed := local("overload_shed", fault.OverloadShed, 503, "another client holds the only connection that the gateway allows").
		set("max-connections", "1")
	shed.Hold = 1

	// busy is a fault of a gateway whose only endpoint is full.
	busy := func(name string, want fault.ID, requests int, why string) *Recipe {
		r := local(name, want, 503, why).set("endpoint-max-requests", "1").does(func(c *Conn) {
			for c.ReadRequest() {
				if c.Head.Target == BesidePath {
					c.Stall()
					return
				}
				c.Write(helloHead + hello)
			}
		})
		r.Busy = requests
		return r
	}

	empty := naming("pool_empty", fault.PoolEmpty, "the name server cannot say where the service is", func(m *dns.Msg, _ *nameServer) {
		m.Rcode = dns.RcodeServerFailure
	}).status(503).lost()
	start := empty.start
	empty.start = func(ctx context.Context, o *Origin) error {
		err := start(ctx, o)
		o.Target = "srv+http://" + hostName
		return err
	}

	drained := local("pool_all_unhealthy", fault.PoolAllUnhealthy, 503, "an operator has taken the only endpoint out")
	drained.Drained = true

	circuit := local("circuit_open", fault.CircuitOpen, 503, "the endpoint has hung up once, which is enough, and is not asked as the last resort").
		set("no-last-resort", "true").set("eject-after", "1").does(func(c *Conn) { c.ReadRequest() })
	circuit.Tripped = 1

	budget := refused("retry_budget_exhausted", fault.HeadEOFEmpty, "").lost().set("retry-budget", "0").
		because("both endpoints hang up without an answer, and the budget allows no retry")
	budget.Withheld, budget.Endpoints = fault.RetryBudgetExhausted, 2

	self := local("loop_self_address", fault.LoopSelfAddress, 502, "the upstream's address is the gateway's own")
	self.start = func(_ context.Context, o *Origin) error { o.Target = Self; return nil }

	disk := noted("local_disk_full", fault.LocalDiskFull, "").asks(putBig).uploads(1<<20).
		set("replay-memory", "1024").does((*Conn).GoodAll).because("the disk is full when the request body is to be spooled")
	disk.Where, disk.Inject = Injected, Injection{SpoolErrno: syscall.ENOSPC}

	bug := local("gateway_internal_error", fault.GatewayInternalError, 500, "the gateway's own code panics")
	bug.Where, bug.Inject = Injected, Injection{Panic: true}

	return []*Recipe{
		shed,
		empty,
		drained,
		circuit,
		busy("pool_exhausted", fault.PoolExhausted, 1, "another request is under way, which is all that the endpoint may be asked, and none may wait").
			set("queue", "0"),
		busy("queue_full", fault.QueueFull, 2, "another request is under way, one waits, and no more may").set("queue", "1"),
		busy("queue_timeout", fault.QueueTimeout, 1, "another request is under way for longer than one may wait").set("queue-timeout", soon),
		local("deadline_before_attempt", fault.DeadlineBeforeAttempt, 504, "the whole time limit has passed before an attempt begins").
			set("timeout-total", "5ms").sends("GET / HTTP/1.1\r\n", "Host: %HOST%\r\n\r\n"),
		budget,
		local("loop_via", fault.LoopVia, 502, "the request has been through this gateway already, as its Via says").
			set("node", "lab-node").
			asks("GET / HTTP/1.1\r\nHost: %HOST%\r\nVia: 1.1 elsewhere, 1.1 lab-node\r\n\r\n"),
		self,
		machine("local_fd_exhausted", fault.LocalFDExhausted, 503, syscall.EMFILE, "no file descriptor is left to connect with"),
		machine("local_port_exhausted", fault.LocalPortExhausted, 503, syscall.EADDRNOTAVAIL, "no local port is left to connect from"),
		machine("local_memory_exhausted", fault.LocalMemoryExhausted, 503, syscall.ENOBUFS, "the kernel has no memory for a socket"),
		disk,
		bug,
	}
}
