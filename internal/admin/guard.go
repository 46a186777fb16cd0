package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// leastToken is the length of a token that nobody guesses.
const leastToken = 16

// guard lets only those to next who have the token, and no page of a browser: neither one
// whose name was made to lead here (DNS rebinding) nor one of another site. host is the one
// that is listened on.
func guard(host string, token func() (string, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host, host) {
			answer(w, http.StatusMisdirectedRequest, problem{"this is asked for by an address, by localhost, or by the name that it listens on"})
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
				answer(w, http.StatusForbidden, problem{"a page of another origin has no business here"})
				return
			}
		}
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin":
		default:
			answer(w, http.StatusForbidden, problem{"a page of another site has no business here"})
			return
		}
		want, err := token()
		if err != nil || len(want) < leastToken {
			answer(w, http.StatusServiceUnavailable, problem{"the token cannot be read, or has fewer than 16 characters: see admin.token"})
			return
		}
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		a, b := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(want))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer") // RFC 6750 §3
			answer(w, http.StatusUnauthorized, problem{"the token of admin.token is needed: Authorization: Bearer TOKEN"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local reports whether a Host is one by which nobody else's name can lead here.
func local(asked, listens string) bool {
	host := asked
	if h, _, err := net.SplitHostPort(asked); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost") || listens != "" && strings.EqualFold(host, listens)
}
