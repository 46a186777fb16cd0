package upstream

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/loop"
)

const (
	// attemptDelay is how long one address may take before the next one is tried
	// beside it (RFC 8305 §5: "Connection Attempt Delay", 250 ms recommended).
	attemptDelay = 250 * time.Millisecond

	// backlogDelay is how long we wait for a unix socket's full backlog to move,
	// once: a worker that accepts needs no longer.
	backlogDelay = 20 * time.Millisecond

	// badFor is how long an address that failed comes last among the addresses
	// of its name.
	badFor = 10 * time.Second

	// favourFor is how long the family that worked goes first, before the other
	// one gets another chance: routes come and go.
	favourFor = 10 * time.Minute
)

// Timing tells when the phases of a dial ended, and where it led. A moment is 0
// if its phase did not come to a good end; Secured is 0 for plaintext.
type Timing struct {
	Resolved, Connected, Secured loop.Time
	// Address is the one connected to; after a failure, the last one tried.
	Address string
	// Note is a fault that the dial got over by itself; nil if none. It is
	// dns_stale_answer if the name's addresses had changed and the new ones were
	// tried at once, or the resolver's fault (dns_servfail, dns_timeout, ...) if
	// the last good answer was used in its place (RFC 8767).
	Note *fault.Fault
}

// Dial makes a connection to e: resolve, connect (RFC 8305), secure. Each phase
// is bounded by its timeout; all of them by until, and when that comes first
// the fault is total_timeout in the phase that it cut. An interrupted task
// gives client_gone: nothing else interrupts an attempt. Nothing of a request
// was sent when it fails. tm may be nil.
//
// With an endpoint that speaks HTTP/2 the connection may be one that others use
// too, and somebody else may have made it.
func (p *Local) Dial(e *Endpoint, until loop.Time, tm *Timing) (*Conn, *fault.Fault) {
	return p.dial(e, until, tm, false, nil)
}

// DialFor is DialAlone for a connection that begins with that PROXY header, which tells
// of a client: where the upstream sends such headers, the others begin with one that says
// that they speak for nobody. The connection is kept no longer than gone is false, which
// this loop sets.
func (p *Local) DialFor(e *Endpoint, intro []byte, gone *bool, until loop.Time, tm *Timing) (*Conn, *fault.Fault) {
	c, f := p.dial(e, until, tm, true, intro)
	if c != nil {
		c.gone = gone
	}
	return c, f
}

// DialAlone is Dial for a connection that is the caller's alone, where the
// endpoint speaks HTTP/1.1 too.
func (p *Local) DialAlone(e *Endpoint, until loop.Time, tm *Timing) (*Conn, *fault.Fault) {
	return p.dial(e, until, tm, !e.prior(), nil)
}

func (p *Local) dial(e *Endpoint, until loop.Time, tm *Timing, alone bool, intro []byte) (*Conn, *fault.Fault) {
	if tm == nil {
		tm = new(Timing)
	}
	*tm = Timing{}
	b := &p.bench[e.index]
	if !alone && e.mayShare(p.loop.Now()) {
		c, none, f := p.queue(e, until)
		if c != nil {
			tm.Address = c.Address
		}
		if c != nil || f != nil {
			return c, f
		}
		alone = none
	}
	b.inFlight++
	c, f := p.open(e, until, tm, alone, intro)
	if f != nil && !alone && speaksOther(f) && e.Downgrade(p.loop.Now()) {
		note := f
		if c, f = p.open(e, until, tm, true, intro); f == nil {
			tm.Note = note
		}
	}
	if f != nil {
		b.inFlight--
		return nil, f
	}
	if c.Shared != nil && c.Shared.Free() == 0 {
		// It takes no request now, and may never.
		c.users--
		b.inFlight--
		c, _, f = p.queue(e, until)
		if c == nil && f == nil {
			f = p.exhausted(e, b)
		}
		return c, f
	}
	return c, nil
}

// speaksOther reports whether f shows that the other end speaks no HTTP/2,
// whatever it agreed to.
func speaksOther(f *fault.Fault) bool {
	return f.ID == fault.H2GotHTTP1 || f.ID == fault.H2PrefaceBad || f.ID == fault.H2SettingsTimeout
}

// open makes a connection.
func (p *Local) open(e *Endpoint, until loop.Time, tm *Timing, alone bool, intro []byte) (*Conn, *fault.Fault) {
	b := &p.bench[e.index]
	if opens := !alone && e.mayShare(p.loop.Now()); opens {
		b.opening++
		defer func() {
			b.opening--
			p.freed(b, true)
		}()
	}
	for !p.connects(e) {
		// One that is kept and cannot be used makes room: it speaks for another client,
		// or a fresh one is wanted.
		if len(b.idle) > 0 {
			p.idle--
			p.shut(b.remove(0))
			continue
		}
		return nil, p.fullFault(fault.PoolExhausted, 0)
	}
	s, f := p.reach(e, until, tm)
	if f == nil && p.up.o.SendProxy != 0 {
		if intro == nil {
			intro = nobody[p.up.o.SendProxy]
		}
		f = p.introduce(s, intro, until, e, tm)
	}
	if f == nil && e.tls != nil {
		s, f = p.secure(e, s, until, tm, alone)
	}
	var shared Shared
	if f == nil && e.agreed(s) {
		shared, f = p.share(e, s, until, tm)
	}
	if f != nil {
		b.failed++
		p.gone(e)
		return nil, f
	}
	c := &Conn{
		Stream:     s,
		Endpoint:   e,
		Address:    tm.Address,
		Opened:     p.loop.Now(),
		SentBefore: s.Sent(),
		Secure:     e.tls != nil,
		Shared:     shared,
		intro:      bytes.Clone(intro),
		counted:    p.up.o.Capacity.Connections > 0 && !p.uncounted && shared == nil,
	}
	if shared == nil {
		if e.tls != nil && !alone {
			e.Downgrade(p.loop.Now()) // to offer more would only make others wait
		}
		c.busy = true
		return c, nil
	}
	p.gone(e) // it is no connection of one request
	c.users = 1
	b.shared = append(b.shared, c)
	p.links++
	p.mind()
	return c, nil
}

// reach resolves and connects.
func (p *Local) reach(e *Endpoint, until loop.Time, tm *Timing) (loop.Stream, *fault.Fault) {
	if e.fixed != (loop.Address{}) {
		tm.Resolved = p.loop.Now()
		return p.connect(e, []loop.Address{e.fixed}, until, tm)
	}
	a, f := p.resolve(e, until, tm)
	if f != nil {
		return nil, f
	}
	tm.Resolved = p.loop.Now()
	list := p.arrange(e, a)
	s, f := p.connect(e, list, until, tm)
	if f == nil || !worthAsking(f) || !a.fromDNS() {
		return s, f
	}
	// The container may have moved: ask again at once, and try what is new.
	fresh := p.askAgain(e, a, until)
	if fresh == nil || slices.ContainsFunc(list, func(x loop.Address) bool { return slices.Contains(fresh.addrs, x.IP.Addr()) }) {
		return nil, f
	}
	stale := fault.New(fault.DNSStaleAnswer, "host", e.target.Host, "endpoint", e.target.Name, "address", join(list),
		"errno", f.Get("errno"), "want", joinAddrs(fresh.addrs), "limit", f.Get("limit"), "after", f.Get("after")).Because(f)
	tm.Note = stale
	return p.connect(e, p.arrange(e, fresh), until, tm)
}

// worthAsking reports whether f may come from an address that is out of date.
func worthAsking(f *fault.Fault) bool {
	switch f.ID {
	case fault.ConnectRefused, fault.ConnectTimeout, fault.ConnectHostUnreachable, fault.ConnectNetUnreachable,
		fault.ConnectOther, fault.DNSAllAddressesFailed:
		return true
	}
	return false
}

// arrange orders the addresses of an answer: families in turn (RFC 8305 §4),
// the one that worked first, each family rotated so that all of its addresses
// get their share, and those that failed a moment ago last.
func (p *Local) arrange(e *Endpoint, a *answer) []loop.Address {
	b, now := &p.bench[e.index], p.loop.Now()
	var families [2][]loop.Address
	first := a.addrs[0].Is4()
	for _, ip := range a.addrs {
		f := 0
		if ip.Is4() != first {
			f = 1
		}
		families[f] = append(families[f], loop.Address{IP: netip.AddrPortFrom(ip, e.target.Port)})
	}
	for _, f := range families {
		if len(f) > 1 {
			turn := b.turn % len(f)
			slices.Reverse(f[:turn])
			slices.Reverse(f[turn:])
			slices.Reverse(f)
		}
	}
	b.turn++
	if len(families[1]) > 0 && now < loop.Time(e.swapped.Load()) {
		families[0], families[1] = families[1], families[0]
	}
	list := make([]loop.Address, 0, len(a.addrs))
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) {
				list = append(list, f[i])
			}
		}
	}
	if len(b.bad) > 0 {
		slices.SortStableFunc(list, func(x, y loop.Address) int { return b.badness(x, now) - b.badness(y, now) })
	}
	return list
}

func (b *bench) badness(a loop.Address, now loop.Time) int {
	if until, ok := b.bad[a]; ok && now < until {
		return 1
	}
	return 0
}

// learn remembers which of several addresses worked and which did not.
func (p *Local) learn(e *Endpoint, r *race, connected bool, won loop.Address) {
	b, now := &p.bench[e.index], p.loop.Now()
	if len(b.bad) > 64 { // names that move a lot leave old addresses behind
		clear(b.bad)
	}
	for _, f := range r.failed {
		if b.bad == nil {
			b.bad = map[loop.Address]loop.Time{}
		}
		b.bad[f.address] = now.Add(int64(badFor))
	}
	if !connected {
		return
	}
	delete(b.bad, won)
	g, is4 := e.good.Load(), won.IP.Addr().Is4()
	if !slices.ContainsFunc(r.failed, func(f failure) bool { return f.address.IP.Addr().Is4() != is4 }) {
		return // the other family did not fail, it says nothing of the order
	}
	if g != nil && g.addrs[0].Is4() != is4 {
		e.swapped.Store(int64(now.Add(int64(favourFor))))
	} else {
		e.swapped.Store(0)
	}
}

// failure is one address that could not be connected to.
type failure struct {
	nth     int // which attempt of the race it was
	address loop.Address
	err     error
	after   time.Duration
}

// connect connects to the first of the addresses that answers.
func (p *Local) connect(e *Endpoint, list []loop.Address, until loop.Time, tm *Timing) (loop.Stream, *fault.Fault) {
	tm.Address = list[0].String()
	list, own := p.foreign(list)
	if len(list) == 0 {
		return nil, fault.New(fault.LoopSelfAddress, "endpoint", e.target.Name, "address", own.String(), "loop", own.String())
	}
	r := &race{p: p, began: p.loop.Now()}
	r.until = min(until, r.began.Add(int64(p.up.o.Timeouts.Connect)))
	s, won := r.run(list)
	if e.fixed == (loop.Address{}) && !r.interrupted {
		p.learn(e, r, s != nil, won)
	}
	if s != nil {
		tm.Connected = p.loop.Now()
		tm.Address = won.String()
		return s, nil
	}
	if n := len(r.failed); n > 0 {
		tm.Address = r.failed[n-1].address.String()
	}
	return nil, p.verdict(e, r, until)
}

// race is one connect phase: attempts on several addresses, of which the first
// that succeeds wins. All of it runs on one loop, so plain fields will do.
type race struct {
	p        *Local
	began    loop.Time
	until    loop.Time
	parent   loop.Task
	attempts []*attempt
	failed   []failure
	winner   loop.Stream
	won      loop.Address
	over     bool
	parked   bool // the parent waits for attempts
	// interrupted: the parent was, nobody waits for the result.
	interrupted bool
}

// attempt is the task of one address in a race.
type attempt struct {
	task    loop.Task
	address loop.Address
	began   loop.Time
	done    bool
}

func (r *race) run(list []loop.Address) (loop.Stream, loop.Address) {
	if len(list) == 1 {
		s, err := r.dial(0, list[0])
		r.interrupted = errors.Is(err, loop.ErrInterrupted)
		return s, list[0]
	}
	l := r.p.loop
	r.parent = l.Current()
	var next loop.Time // when another attempt may start beside those under way
	failures := 0
	for r.winner == nil {
		now := l.Now()
		if len(list) > 0 && (len(r.failed) == len(r.attempts) || len(r.failed) > failures || now >= next) {
			failures = len(r.failed)
			if failures > 0 && hopeless(r.failed[failures-1].err) {
				break // no descriptor, no memory: no other address helps
			}
			r.start(list[0])
			list = list[1:]
			next = now.Add(int64(attemptDelay))
			continue
		}
		if len(r.failed) == len(r.attempts) {
			break
		}
		wait := r.until
		if len(list) > 0 {
			wait = min(wait, next)
		}
		r.parked = true
		err := l.Park(wait)
		r.parked = false
		if errors.Is(err, loop.ErrInterrupted) {
			r.interrupted = true
			break
		}
		if errors.Is(err, loop.ErrTimeout) && l.Now() >= r.until {
			break
		}
	}
	r.end()
	return r.winner, r.won
}

func (r *race) start(address loop.Address) {
	n, a := len(r.attempts), &attempt{address: address, began: r.p.loop.Now()}
	r.attempts = append(r.attempts, a)
	// The task ends when its dial does, at r.until at the latest, or when end
	// interrupts it.
	a.task = r.p.loop.Go(func() {
		s, err := r.dial(n, address)
		a.done = true
		switch {
		case err == nil && (r.over || r.winner != nil):
			s.Abort() // another address was faster
		case err == nil:
			r.winner, r.won = s, address
		}
		if r.parked { // else a later Park of the parent would end for no reason
			r.parent.Wake()
		}
	})
}

// end calls off what is still under way. Attempts that nobody outran count as
// timed out.
func (r *race) end() {
	r.over = true
	now := r.p.loop.Now()
	defer func() { slices.SortFunc(r.failed, func(a, b failure) int { return a.nth - b.nth }) }()
	for n, a := range r.attempts {
		if a.done {
			continue
		}
		a.task.Interrupt()
		if r.winner == nil && !r.interrupted {
			r.failed = append(r.failed, failure{n, a.address, loop.ErrTimeout, time.Duration(now - a.began)})
		}
	}
}

// dial makes one attempt and notes its failure.
func (r *race) dial(nth int, a loop.Address) (loop.Stream, error) {
	l := r.p.loop
	began := l.Now()
	s, err := l.Dial(a, r.until)
	if a.Path != "" && errors.Is(err, syscall.EAGAIN) && began.Add(int64(backlogDelay)) < r.until {
		if err := l.Sleep(l.Now().Add(int64(backlogDelay))); err != nil {
			return nil, err
		}
		s, err = l.Dial(a, r.until)
	}
	if err != nil && !r.over && !errors.Is(err, loop.ErrInterrupted) {
		r.failed = append(r.failed, failure{nth, a, err, time.Duration(l.Now() - began)})
	}
	return s, err
}

// hopeless reports errors of our own machine, which every address would meet.
func hopeless(err error) bool {
	for _, e := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// verdict judges a race that nobody won: each of its addresses that was tried
// has failed, or the task was interrupted.
func (p *Local) verdict(e *Endpoint, r *race, until loop.Time) *fault.Fault {
	now := p.loop.Now()
	took := time.Duration(now - r.began)
	if r.interrupted {
		return interrupted(fault.Connect)
	}
	for _, f := range r.failed {
		if hopeless(f.err) {
			return p.connectFault(e, f)
		}
	}
	if now >= until && slices.ContainsFunc(r.failed, func(f failure) bool { return errors.Is(f.err, loop.ErrTimeout) }) {
		return cut(fault.Connect, e, took)
	}
	if len(r.failed) == 1 {
		return p.connectFault(e, r.failed[0])
	}
	if e.target.Host == "localhost" {
		// The two addresses of this machine are one place: say what it said, and
		// not that a machine without IPv6 has none.
		telling := slices.DeleteFunc(slices.Clone(r.failed), func(f failure) bool {
			return errors.Is(f.err, syscall.EADDRNOTAVAIL) || errors.Is(f.err, syscall.EAFNOSUPPORT) || errors.Is(f.err, syscall.ENETUNREACH)
		})
		if len(telling) > 0 && !slices.ContainsFunc(telling, func(f failure) bool { return errno(f.err) != errno(telling[0].err) }) {
			one := p.connectFault(e, telling[0])
			for i := range one.Param {
				if one.Param[i].Name == "address" {
					one.Param[i].Value = joinFailed(telling)
				}
			}
			return one
		}
	}
	attempts := make([]string, len(r.failed))
	errs := make([]error, len(r.failed))
	for i, f := range r.failed {
		attempts[i] = f.address.String() + " " + errno(f.err) + " after " + short(f.after)
		errs[i] = f.err
	}
	return fault.New(fault.DNSAllAddressesFailed, "endpoint", e.target.Name, "host", e.target.Host,
		"address", joinFailed(r.failed), "attempts", strings.Join(attempts, ", "), "errno", errno(r.failed[0].err),
		"limit", short(p.up.o.Timeouts.Connect), "after", short(took)).Because(errors.Join(errs...))
}

// connectFault says what one failed connect means (connect(2), socket(2)).
func (p *Local) connectFault(e *Endpoint, f failure) *fault.Fault {
	id := fault.ConnectOther
	var n syscall.Errno
	switch {
	case errors.Is(f.err, loop.ErrTimeout):
		id = fault.ConnectTimeout
	case errors.As(f.err, &n):
		id = connectID(n, f.address.Path != "")
	}
	return fault.New(id, "endpoint", e.target.Name, "address", f.address.String(), "errno", errno(f.err),
		"limit", short(p.up.o.Timeouts.Connect), "after", short(f.after)).Because(f.err)
}

func connectID(n syscall.Errno, unix bool) fault.ID {
	switch n {
	case syscall.ECONNREFUSED:
		return fault.ConnectRefused
	case syscall.ETIMEDOUT:
		return fault.ConnectTimeout
	case syscall.EHOSTUNREACH, syscall.EHOSTDOWN:
		return fault.ConnectHostUnreachable
	case syscall.ENETUNREACH, syscall.ENETDOWN:
		return fault.ConnectNetUnreachable
	case syscall.EACCES, syscall.EPERM:
		return fault.ConnectDenied
	case syscall.EMFILE, syscall.ENFILE:
		return fault.LocalFDExhausted
	case syscall.EADDRNOTAVAIL:
		return fault.LocalPortExhausted
	case syscall.ENOMEM, syscall.ENOBUFS:
		return fault.LocalMemoryExhausted
	case syscall.ENOENT, syscall.ENOTDIR:
		if unix {
			return fault.UnixSocketMissing
		}
	case syscall.EAGAIN:
		if unix {
			return fault.UnixSocketBacklog
		}
	}
	return fault.ConnectOther
}

// interrupted is the fault of an attempt that nobody waits for any more.
func interrupted(at fault.Phase) *fault.Fault {
	f := fault.New(fault.ClientGone).Because(loop.ErrInterrupted)
	f.At = at
	return f
}

// cut is the fault of a phase that the exchange's own deadline ended.
func cut(at fault.Phase, e *Endpoint, took time.Duration) *fault.Fault {
	f := fault.New(fault.TotalTimeout, "endpoint", e.target.Name, "after", short(took), "received", "0").Because(loop.ErrTimeout)
	f.At = at
	return f
}

var errnoNames = map[syscall.Errno]string{
	syscall.ECONNREFUSED: "ECONNREFUSED", syscall.ETIMEDOUT: "ETIMEDOUT", syscall.EHOSTUNREACH: "EHOSTUNREACH",
	syscall.EHOSTDOWN: "EHOSTDOWN", syscall.ENETUNREACH: "ENETUNREACH", syscall.ENETDOWN: "ENETDOWN",
	syscall.EACCES: "EACCES", syscall.EPERM: "EPERM", syscall.EMFILE: "EMFILE", syscall.ENFILE: "ENFILE",
	syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL", syscall.ENOMEM: "ENOMEM", syscall.ENOBUFS: "ENOBUFS",
	syscall.ENOENT: "ENOENT", syscall.ENOTDIR: "ENOTDIR", syscall.EAGAIN: "EAGAIN", syscall.ECONNRESET: "ECONNRESET",
	syscall.ECONNABORTED: "ECONNABORTED", syscall.EPIPE: "EPIPE", syscall.EINVAL: "EINVAL",
	syscall.EAFNOSUPPORT: "EAFNOSUPPORT", syscall.EPROTOTYPE: "EPROTOTYPE",
}

// errno is the short name of what a connect ended in.
func errno(err error) string {
	var n syscall.Errno
	switch {
	case errors.Is(err, loop.ErrTimeout):
		return "ETIMEDOUT"
	case errors.As(err, &n):
		if s, ok := errnoNames[n]; ok {
			return s
		}
		return n.Error()
	}
	return err.Error()
}

// short is a duration as people say it: 250ms, 5s, 1.25s.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func join(list []loop.Address) string {
	s := make([]string, len(list))
	for i, a := range list {
		s[i] = a.String()
	}
	return strings.Join(s, ", ")
}

func joinFailed(list []failure) string {
	s := make([]loop.Address, len(list))
	for i, f := range list {
		s[i] = f.address
	}
	return join(s)
}

func joinAddrs(list []netip.Addr) string {
	s := make([]string, len(list))
	for i, a := range list {
		s[i] = a.String()
	}
	return strings.Join(s, ", ")
}

// foreign leaves out addresses where this gateway itself listens, and returns
// one of them.
func (p *Local) foreign(list []loop.Address) (rest []loop.Address, own loop.Address) {
	if p.up.o.Own == nil {
		return list, own
	}
	ours := p.up.o.Own()
	if len(ours) == 0 {
		return list, own
	}
	for _, a := range list {
		if slices.ContainsFunc(ours, func(o netip.AddrPort) bool { return listensOn(o, a.IP) }) {
			own = a
		} else {
			rest = append(rest, a)
		}
	}
	return rest, own
}

// listensOn reports whether a listener on o takes connections to a.
func listensOn(o, a netip.AddrPort) bool {
	if o.Port() != a.Port() || !a.IsValid() {
		return false
	}
	ip, to := o.Addr().Unmap().WithZone(""), a.Addr().Unmap().WithZone("")
	switch {
	case ip == to:
		return true
	case !ip.IsUnspecified():
		return false
	case to.IsLoopback():
		return ip.Is6() || to.Is4() // [::] takes IPv4 too, unless told otherwise
	}
	local, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(local, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr().Unmap() == to && (ip.Is6() || to.Is4())
	})
}
