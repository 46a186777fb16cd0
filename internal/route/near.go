package route

import (
	"bytes"
	"strings"
)

// looks bounds the names that a miss is compared with: a miss is what attackers
// can make many of.
const looks = 4096

// NearHost is the host of a site that a request for host may have been meant
// for, as it is written in the rules; "" if none is like it. It is for words
// about a miss, and takes some hundred microseconds where there are thousands of sites.
func (t *Table) NearHost(secure bool, authority []byte) string {
	var f Finder
	host, _ := f.hostOf(authority)
	if len(host) == 0 || len(host) > maxHost {
		return ""
	}
	if t.hosts[1-secureIndex(secure)].find(host) != nil {
		if secure {
			return "http://" + string(host)
		}
		return "https://" + string(host)
	}
	best, distance := "", min(len(host)/4, 3)+1 // one that is as far is too far
	for i, name := range t.near {
		if i == looks {
			break
		}
		bare := name
		if _, after, ok := strings.Cut(name, "://"); ok {
			bare = after
		}
		below := strings.HasPrefix(bare, "any.")
		bare = strings.TrimPrefix(bare, "any.")
		switch {
		case below && string(host) == bare:
			return name // the wildcard does not hold the name itself
		case !below && len(host) > len(bare) && host[len(host)-len(bare)-1] == '.' && string(host[len(host)-len(bare):]) == bare && strings.Contains(bare, "."),
			!below && len(bare) > len(host) && bare[len(bare)-len(host)-1] == '.' && bare[len(bare)-len(host):] == string(host) && bytes.IndexByte(host, '.') >= 0:
			if best == "" || distance > 1 {
				best, distance = name, 1 // www. before it, or missing
			}
			continue
		}
		against := host
		if below { // compare the part that is alike
			labels := strings.Count(bare, ".") + 1
			for bytes.Count(against, []byte(".")) >= labels {
				_, against, _ = bytes.Cut(against, []byte("."))
			}
		}
		if d := edits(against, bare, distance); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// NearPath is the path pattern of a site that a request may have been meant for;
// "" if none is like it.
func (t *Table) NearPath(site int, path []byte) string {
	path, _, _ = bytes.Cut(path, []byte("?"))
	path = appendReading(nil, path, dots)
	if len(path) > maxHost {
		path = path[:maxHost]
	}
	best, distance := "", 4
	n := 0
	for i := range t.sites[site].rules {
		for _, p := range t.sites[site].rules[i].path {
			if n++; n > looks {
				return best
			}
			if p.matches(path) {
				return p.text // another condition does not hold
			}
			if d := p.edits(path, distance); d < distance {
				best, distance = p.text, d
			}
		}
	}
	return best
}

// edits is how many edits turn path into one that p matches, most if there are
// more or as many. A slash at the end counts as one.
func (p *pattern) edits(path []byte, most int) int {
	rest, sum := bytes.TrimSuffix(path, []byte("/"))[min(1, len(path)-1):], 0
	if len(rest) != len(path)-1 {
		sum = 1
	}
	want := p.segments
	if n := len(want); n > 0 && want[n-1].literal == "" && want[n-1].capture == "" {
		want, sum = want[:n-1], 1-sum
	}
	for i := range want {
		if len(rest) == 0 {
			return most
		}
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte("/"))
		if want[i].capture != "" {
			continue
		}
		if s := want[i].literal; strings.EqualFold(s, string(part)) && s != string(part) {
			sum++ // another case
		} else if sum += edits(part, s, min(most, len(s)/3+2)); sum >= most || len(s) > 0 && edits(part, s, most) > (len(s)+1)/3 {
			return most
		}
	}
	if len(rest) > 0 && !p.below {
		return most
	}
	return sum
}

// edits is how many bytes are to be inserted, dropped, changed or swapped with
// their neighbour to make b of a; most if there are that many or more.
func edits(a []byte, b string, most int) int {
	if d := len(a) - len(b); d >= most || -d >= most {
		return most
	}
	if len(b) > maxHost {
		return most
	}
	var rows [3][maxHost + 2]int // of the last byte but one of a, the last and this one
	before, last, now := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		now[0] = i + 1
		least := now[0]
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d = 1 + min(d, now[j], last[j+1])
				if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
					d = min(d, 1+before[j-1])
				}
			}
			now[j+1] = d
			least = min(least, d)
		}
		if least >= most {
			return most
		}
		before, last, now = last, now, before
	}
	return min(last[len(b)], most)
}
