package upstream

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/gatewhy/gatewhy/fault"
)

// maxServiceTargets bounds what one SRV name may stand for.
const maxServiceTargets = 1024

// Found is what an SRV name stands for.
type Found struct {
	// Targets are the endpoints, those of the most preferred tier first; none if the
	// name's owner says that there is no such service ("." as the target, RFC 2782).
	Targets []Target
	// TTL is how long that holds.
	TTL time.Duration
}

// LookupService asks what a target with a Service stands for (RFC 2782): priorities become
// tiers, weights become weights. Everything else is that of the target. resolver is that
// of Options. It blocks, for at most limit and until ctx ends.
func LookupService(ctx context.Context, t Target, resolver string, limit time.Duration) (Found, *fault.Fault) {
	r, err := newResolver(resolver)
	if err != nil {
		return Found{}, fault.New(fault.DNSServfail, "host", t.Service, "resolver", resolver, "rcode", err.Error())
	}
	q := r.question(t.Service, limit)
	q.types = "SRV"
	ctx, cancel := context.WithDeadline(ctx, q.began.Add(q.limit))
	defer cancel()
	var worst *outcome
	for _, name := range q.names {
		o := q.one(ctx, name, dns.TypeSRV)
		if o.kind == "" {
			return Found{t.among(o.services), min(max(o.ttl, ttlLeast), ttlMost)}, nil
		}
		worst = worse(worst, o)
	}
	a := q.failed(worst)
	return Found{TTL: a.ttl}, a.fault
}

// among makes targets of records, in an order that does not depend on that of the answer.
func (t Target) among(records []*dns.SRV) (list []Target) {
	seen := map[Target]bool{}
	slices.SortStableFunc(records, func(a, b *dns.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(dns.CanonicalName(a.Target), dns.CanonicalName(b.Target)), cmp.Compare(a.Port, b.Port))
	})
	for _, r := range records {
		host, err := checkHost(strings.TrimSuffix(r.Target, "."))
		if err != nil || r.Port == 0 || len(list) == maxServiceTargets {
			continue // "." among others, or nothing that could be connected to
		}
		one := t
		one.Service, one.Host, one.Port, one.Tier, one.Weight = "", host, r.Port, int(r.Priority), int(r.Weight)
		one.Name = one.hostPort()
		if scheme, _, ok := strings.Cut(strings.TrimPrefix(t.Name, "srv+"), "://"); ok && scheme != "http" {
			one.Name = scheme + "://" + one.Name
		}
		if !seen[one.Place()] { // named twice: the more preferred one counts
			seen[one.Place()] = true
			list = append(list, one)
		}
	}
	for i := 0; i < len(list); {
		n := i + 1
		for n < len(list) && list[n].Tier == list[i].Tier {
			n++
		}
		scale(list[i:n])
		i = n
	}
	return list
}

// scale brings weights of 0 to 65535 to 1 to MaxWeight. One of 0 gets "a very small chance
// of being selected" beside others, and its share if all are 0 (RFC 2782).
func scale(list []Target) {
	most, zero := 0, false
	for _, t := range list {
		most, zero = max(most, t.Weight), zero || t.Weight == 0
	}
	for i := range list {
		w := &list[i].Weight
		if most > MaxWeight || zero && most > 0 {
			*w = (*w*MaxWeight + most/2) / most
		}
		*w = max(*w, 1)
	}
}
