// Package incident keeps the trails of exchanges that met a fault, with their
// evidence, so that the number on an error page can be looked up.
//
// A [Store] holds the last ones in memory. A [Record] is a copy that nobody
// changes; it has a JSON form for the admin socket, from which [UnmarshalRecord]
// makes a trail again. message.Mask takes secrets out of raw heads and must be called
// before bytes become evidence. The words are package explain's.
package incident

import (
	"bytes"
	"errors"
	"strings"
	"sync"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// DefaultSize is how many incidents a Store keeps unless told otherwise. With
// evidence of 5 KiB for each of two attempts a thousand take 10 MiB.
const DefaultSize = 1000

// Store is a ring of the last incidents. It is safe for concurrent use: all
// loops keep their incidents in one store. Only exchanges that met a fault come
// here, so its lock is on no hot path.
type Store struct {
	mu    sync.Mutex
	ring  []*Record
	next  int // where the next one goes
	total uint64
	byID  map[[8]byte]*Record
}

// Record is one kept incident. It does not change.
type Record struct {
	// Trail shares no bytes with the exchange it was copied from.
	Trail *trail.Trail
}

// NewStore makes a store of the last n incidents; n of 0 or less means
// DefaultSize.
func NewStore(n int) *Store {
	if n <= 0 {
		n = DefaultSize
	}
	return &Store{ring: make([]*Record, n), byID: make(map[[8]byte]*Record)}
}

// Keep copies t with all bytes and faults that hang on it, masks secrets in its
// path, and drops the oldest record if the store is full. A trail without an
// incident id gets one, in the record only.
func (s *Store) Keep(t *trail.Trail) *Record {
	r := &Record{Trail: clone(t)}
	if r.Trail.Incident == ([8]byte{}) {
		r.Trail.Incident = NewID()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.ring[s.next]; old != nil && s.byID[old.Trail.Incident] == old {
		delete(s.byID, old.Trail.Incident)
	}
	s.ring[s.next] = r
	s.byID[r.Trail.Incident] = r
	s.next = (s.next + 1) % len(s.ring)
	s.total++
	return r
}

// Get returns the record with this id, nil if it was never kept or is gone.
func (s *Store) Get(id [8]byte) *Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// Recent returns up to n records, the newest first.
func (s *Store) Recent(n int) []*Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = max(0, min(n, len(s.ring)))
	list := make([]*Record, 0, n)
	for i := 1; i <= n; i++ {
		r := s.ring[(s.next-i+len(s.ring))%len(s.ring)]
		if r == nil {
			break
		}
		list = append(list, r)
	}
	return list
}

// Total counts all incidents that were ever kept, also those that are gone.
func (s *Store) Total() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// clone copies t and everything it points to. A fault that several places of
// the trail share is shared in the copy.
func clone(t *trail.Trail) *trail.Trail {
	c := *t
	c.Client = bytes.Clone(t.Client)
	c.Method = bytes.Clone(t.Method)
	c.RequestID = bytes.Clone(t.RequestID)
	c.Authority = bytes.Clone(t.Authority)
	if t.Path != nil {
		c.Path = bytes.Clone(t.Path)
		message.MaskURLs(c.Path)
	}
	seen := map[*fault.Fault]*fault.Fault{nil: nil}
	copied := func(f *fault.Fault) *fault.Fault {
		if _, ok := seen[f]; !ok {
			seen[f] = cloneFault(f)
		}
		return seen[f]
	}
	for i := range c.Attempts {
		a := &c.Attempts[i]
		a.First, a.Last = bytes.Clone(a.First), bytes.Clone(a.Last)
		a.Fault = copied(a.Fault)
	}
	c.Fault = copied(t.Fault)
	c.Withheld = copied(t.Withheld)
	return &c
}

func cloneFault(f *fault.Fault) *fault.Fault {
	c := *f
	c.Param = nil
	for _, p := range f.Param {
		// A value may be cut out of a big buffer: Clone lets that go.
		c.Param = append(c.Param, fault.Param{Name: p.Name, Value: strings.Clone(p.Value)})
	}
	if f.Saw != nil {
		c.Saw = &fault.Excerpt{Bytes: bytes.Clone(f.Saw.Bytes), Base: f.Saw.Base, Mark: f.Saw.Mark}
	}
	if f.Err != nil {
		// Only the words: the value may hold connections and certificates.
		c.Err = errors.New(f.Err.Error())
	}
	return &c
}
