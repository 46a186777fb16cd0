package upstream

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

// Affinity binds a client to the endpoint that answered it first, by a cookie of the
// gateway's own: what HAProxy calls "cookie insert indirect nocache" and nginx "sticky
// cookie". The application neither sees it nor has to set one.
type Affinity struct {
	// Cookie is its name; "" for no affinity.
	Cookie string
	// MaxAge is how long clients keep it; 0 means until they end their session.
	MaxAge time.Duration
	// Key makes the values: gateways with the same one, and the same upstream, agree on
	// them. nil means one that this process makes at its start.
	Key []byte
}

// LeastKey is the length of the shortest Affinity.Key. Addresses are few: who can guess
// the key can find out which one a value stands for.
const LeastKey = 16

// CheckCookie tells what is wrong with the name of a cookie (RFC 6265 §4.1.1).
func CheckCookie(name string) error {
	switch {
	case !isToken(name):
		return fmt.Errorf("%q is the name of no cookie: write letters, digits and hyphens", name)
	case strings.HasPrefix(name, "__"):
		// Browsers take them only with attributes that not every listener allows.
		return fmt.Errorf("names that begin with __ have a meaning of their own: write one such as endpoint")
	}
	return nil
}

// processKey is for those who have given none. It outlives reloads, and no restart.
var processKey = sync.OnceValue(func() []byte {
	k := make([]byte, 32)
	rand.Read(k) // never fails
	return k
})

// markLen is how long a cookie's value is: 80 bits.
const markLen = 16

// bind makes the cookie's values. They are no addresses, and cannot be turned into one
// without the key; whoever makes one up has the endpoint chosen as if he had none.
func (u *Upstream) bind() {
	a := &u.o.Affinity
	if a.Cookie == "" {
		return
	}
	key := a.Key
	if len(key) == 0 {
		key = processKey()
	}
	u.marks = make(map[string]*Endpoint, len(u.endpoints))
	for _, e := range u.endpoints {
		h := hmac.New(sha256.New, key)
		fmt.Fprintf(h, "gatewhy affinity\x00%s\x00%s", u.o.Name, e.target.Name)
		mark := strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil))[:markLen])
		u.marks[mark] = e
		age := ""
		if s := int64(a.MaxAge / time.Second); s > 0 {
			age = "; Max-Age=" + strconv.FormatInt(s, 10)
		}
		// What a cache kept would bind everybody to the endpoint of the first.
		line := "Set-Cookie: " + a.Cookie + "=" + mark + "; Path=/; HttpOnly; SameSite=Lax" + age
		e.bind = [2][]byte{[]byte(line + "\r\nCache-Control: private\r\n"), []byte(line + "; Secure\r\nCache-Control: private\r\n")}
	}
}

// Cookie is the name of the cookie that binds clients; "" if none does.
func (p *Local) Cookie() string { return p.up.o.Affinity.Cookie }

// Bound is the endpoint that a cookie's value stands for, nil if there is none or if it is
// not well. One that is drained still gets the requests that are bound to it.
func (p *Local) Bound(value []byte) *Endpoint {
	e := p.up.marks[string(value)]
	if e == nil {
		return nil
	}
	h, now := &e.health, p.loop.Now()
	switch until := loop.Time(h.until.Load()); {
	case h.said.Load() == saidMaintenance || h.down.Load():
		return nil
	case until != 0 && (now < until || !e.claimProbe(now)):
		return nil
	case now < loop.Time(h.shy.Load()):
		return nil
	}
	return e
}

// Bind are the field lines of an answer that bind its client to the endpoint. They must
// not be changed.
func (e *Endpoint) Bind(secure bool) []byte {
	if secure {
		return e.bind[1]
	}
	return e.bind[0]
}
