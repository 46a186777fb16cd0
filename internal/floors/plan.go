package floors

// house is the plan of this repository.
var house = plan{
	module: "github.com/gatewhy/gatewhy",

	floors: []floor{
		{"floor 0, words", []string{"fault", "internal/message", "internal/trail", "internal/conf"}},
		{"floor 1, ground", []string{"internal/wire/...", "internal/loop/..."}},
		{"floor 2, parts", []string{
			"internal/http1", "internal/http2", "internal/certs", "internal/upstream", "internal/tunnel", "internal/route", "internal/explain",
			"internal/incident", "internal/accesslog", "internal/metrics", "internal/lab", "internal/listen", "internal/handover",
		}},
		{"floor 3, life", []string{"internal/exchange"}},
		{"floor 4, services", []string{"internal/reverse", "internal/check", "internal/admin", "internal/otlp"}},
		{"floor 5, house", []string{"internal/gateway"}},
		{"floor 5½, names of its options", []string{"internal/settings", "internal/config"}},
		{"floor 6, proof", []string{"internal/prove"}},
		{"floor 7, door", []string{"internal/cli"}},
		{"the door's handle", []string{"."}},
	},

	apart: []string{"bench/...", "docs/...", "test/...", "internal/floors"},

	exceptions: map[edge]string{
		{"internal/trail", "fault"}: "a trail is a list of phases and faults, and these words are fault's",
	},

	bans: []ban{
		{
			packages: []string{"internal/wire/..."},
			imports:  []string{"net", "time", "sync", "sync/...", "os", "os/..."},
			reason:   "a codec has no socket, clock, lock or file: bytes in, value out",
		},
		{
			packages: []string{"internal/lab"},
			stdOnly:  true,
			// System calls that package syscall, frozen in Go 1.4, never got; and
			// the messages and frames that its DNS and HTTP/2 servers must get wrong in
			// every way.
			save:   []string{"golang.org/x/sys/...", "github.com/miekg/dns", "golang.org/x/net/http2/..."},
			reason: "every test above may use the lab as it would httptest",
		},
		{
			packages:   []string{"internal/http1", "internal/http2", "internal/exchange", "internal/reverse", "internal/tunnel"},
			imports:    []string{"net", "sync", "sync/..."},
			sequential: true,
			reason:     "code on a loop is sequential, and waits only in package loop",
		},
	},

	calls: map[string]string{
		"time.Sleep":     "it stops the whole loop: use loop.Loop.Sleep",
		"time.After":     "the loop has its own timers: use a deadline",
		"time.AfterFunc": "it runs on a goroutine of its own: use a task",
		"time.NewTimer":  "the loop has its own timers: use a deadline",
		"time.NewTicker": "the loop has its own timers: use loop.Loop.Sleep",
		"time.Tick":      "the loop has its own timers: use loop.Loop.Sleep",
	},
}
