package incident

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

func sample() *trail.Trail {
	f := &fault.Fault{ID: fault.HeaderNameBadChar, At: fault.Head,
		Param: []fault.Param{{Name: "offset", Value: "22"}, {Name: "byte", Value: "' '"}},
		Saw:   &fault.Excerpt{Bytes: []byte("X-Bad Header: 1\r\n"), Base: 17, Mark: 22}}
	t := &trail.Trail{Began: 1795338847221000000, Client: []byte("203.0.113.9"), Method: []byte("GET"), Scheme: "http",
		Authority: []byte("shop.example.org"), Path: []byte("/cart?q=1&token=hunter2"), Minor: 1, Route: "cart",
		HeadRead: 100_000, BodyRead: 100_001, Answered: 31_200_000, Ended: 31_250_001, Status: 502, UpstreamStatus: 200,
		In: 412, Out: 1893, N: 2, Fault: f, Incident: [8]byte([]byte("7K3QM2VX")),
		Withheld: &fault.Fault{ID: fault.RetryBudgetExhausted, At: fault.Select}}
	t.Attempts[0] = trail.Attempt{Upstream: "cart", Endpoint: "10.0.0.11:8080", Address: "10.0.0.11:8080", Reused: true,
		Age: 5e9, Idle: 1e9, Serial: 3, Began: 400_000, Sent: 500_000, FirstByte: 14_000_000, Ended: 14_800_000,
		BytesSent: 412, BytesReceived: 57, Fault: f, First: []byte("HTTP/1.1 200 OK\r\nX-Bad Header: 1\r\n")}
	t.Attempts[1] = trail.Attempt{Upstream: "cart", Endpoint: "10.0.0.12:8080", Address: "10.0.0.12:8080", Secure: true,
		Began: 15_200_000, Resolved: 15_200_001, Connected: 16_100_000, Secured: 17_000_000, Ended: 30_800_000, Status: 200,
		Fault: &fault.Fault{ID: fault.HeadEOFPartial, At: fault.Head, Err: errors.New("read \xff: EOF")}, Last: []byte{0, 0xff, 'a'}}
	t.Note(fault.HeadBareLF, 15, 0)
	return t
}

// errorText compares what other packages said by their words, which is all that
// a record keeps.
var errorText = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Err" },
	cmp.Transformer("text", func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}))

func TestKeepCopiesEverything(t *testing.T) {
	s := NewStore(0)
	from, want := sample(), sample()
	r := s.Keep(from)
	// The exchange's memory is used again for another one.
	for _, b := range [][]byte{from.Client, from.Method, from.Authority, from.Path, from.Fault.Saw.Bytes,
		from.Attempts[0].First, from.Attempts[1].Last} {
		clear(b)
	}
	from.Fault.Param[0].Value = "gone"
	from.Attempts[1].Fault.ID = "gone"
	want.Path = []byte("/cart?q=1&token=xxxxxxx")
	if d := cmp.Diff(want, r.Trail, errorText); d != "" {
		t.Error(d)
	}
	if r.Trail.Fault != r.Trail.Attempts[0].Fault {
		t.Error("a shared fault was copied twice")
	}
}

func TestRecordJSON(t *testing.T) {
	r := NewStore(1).Keep(sample())
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"incident":"7K3QM2VX"`, `"answered_ms":31.2`, `"ended_ms":31.250001`,
		`"name":"byte","value":"' '"`, `"base":17`, `"text":"X-Bad Header: 1\n"`, `"id":"header_name_bad_char","phase":"head"`} {
		if !strings.Contains(string(b), part) {
			t.Errorf("no %s in %s", part, b)
		}
	}
	back, err := UnmarshalRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r.Trail, back.Trail, errorText); d != "" {
		t.Error(d)
	}
}

func TestUnmarshalRecordRefuses(t *testing.T) {
	for _, in := range []string{``, `[]`, `{}`, `{"incident":"short"}`, `{"incident":"7K3QM2VX","ended_ms":1e300}`,
		`{"incident":"7K3QM2VX","attempts":[{},{},{},{},{},{},{},{},{}]}`,
		`{"incident":"7K3QM2VX","notices":[{},{}],"notice_count":1}`} {
		if r, err := UnmarshalRecord([]byte(in)); err == nil {
			t.Errorf("%s: %+v", in, r.Trail)
		}
	}
}

// What a record says is read back as the same record, whatever hostile JSON it
// came from.
func FuzzUnmarshalRecord(f *testing.F) {
	b, err := json.Marshal(NewStore(1).Keep(sample()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"incident":"7K3QM2VX","path":{"base64":"/w=="},"fault":{"id":"x","phase":"?","error":{"base64":"/w=="}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := UnmarshalRecord(in)
		if err != nil {
			return
		}
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := UnmarshalRecord(out)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if d := cmp.Diff(r.Trail, again.Trail, errorText, emptyIsNil); d != "" {
			t.Fatalf("%s\n%s", d, out)
		}
	})
}

// An empty piece of evidence and none are the same.
var emptyIsNil = cmp.Transformer("octets", func(b []byte) string { return string(b) })

func TestStoreForgetsTheOldest(t *testing.T) {
	s := NewStore(3)
	var ids [][8]byte
	for i := range 5 {
		x := sample()
		x.Incident, x.Status = [8]byte{}, 500+i
		ids = append(ids, s.Keep(x).Trail.Incident)
		if x.Incident != ([8]byte{}) {
			t.Error("the exchange's own trail was changed")
		}
	}
	var got []int
	for _, r := range s.Recent(10) {
		got = append(got, r.Trail.Status)
	}
	if d := cmp.Diff([]int{504, 503, 502}, got); d != "" {
		t.Error(d)
	}
	if n := len(s.Recent(2)); n != 2 {
		t.Errorf("Recent(2) gave %d", n)
	}
	if n := len(s.Recent(-1)); n != 0 {
		t.Errorf("Recent(-1) gave %d", n)
	}
	for i, id := range ids {
		if r := s.Get(id); (r != nil) != (i >= 2) {
			t.Errorf("incident %d: %v", i, r)
		}
	}
	if s.Total() != 5 {
		t.Errorf("total %d", s.Total())
	}
}

// An id that comes twice belongs to the newer incident, and the older one's end
// does not take it away.
func TestStoreSameID(t *testing.T) {
	s := NewStore(2)
	a, b, c := sample(), sample(), sample()
	a.Status, b.Status, c.Incident = 1, 2, NewID()
	s.Keep(a)
	s.Keep(b)
	s.Keep(c) // a goes
	if r := s.Get(b.Incident); r == nil || r.Trail.Status != 2 {
		t.Errorf("got %v", r)
	}
}

func TestStoreConcurrently(t *testing.T) {
	s := NewStore(10)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { // ends after its hundred incidents
			for range 100 {
				r := s.Keep(sample())
				s.Recent(5)
				s.Get(r.Trail.Incident)
			}
		})
	}
	wg.Wait()
	if s.Total() != 400 {
		t.Errorf("total %d", s.Total())
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{"7K3QM2VX": "7K3QM2VX", "7k3qm2vx": "7K3QM2VX", "oOiIlL00": "00111100",
		" 7k3q-m2vx ": "7K3QM2VX", "": "", "7K3QM2V": "", "7K3QM2VXX": "", "7K3QM2VU": "", "7K3QM2V\x00": "", "connect_": ""} {
		id, ok := Parse(in)
		if got := string(id[:]); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[[8]byte]bool{}
	for range 1000 {
		id := NewID()
		if again, ok := Parse(string(id[:])); !ok || again != id {
			t.Fatalf("%q is no id of its own alphabet", id)
		}
		seen[id] = true
	}
	// Two equal ones among a thousand come once in two million runs.
	if len(seen) != 1000 {
		t.Errorf("%d different ids of 1000", len(seen))
	}
}

func ExampleParse() {
	id, ok := Parse("7k3q-m2vx")
	fmt.Println(string(id[:]), ok)
	// Output: 7K3QM2VX true
}
