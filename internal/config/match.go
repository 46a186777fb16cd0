package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatewhy/gatewhy/internal/route"
)

// everyValue is each value of a field or a parameter that is there.
const everyValue = "any"

// Rule is the match as package route takes it.
func (m *Match) Rule() route.Match {
	var r route.Match
	for _, p := range m.Path {
		r.Path = append(r.Path, string(p))
	}
	for _, method := range m.Method {
		r.Method = append(r.Method, string(method))
	}
	r.Field, r.Query = conditions(m.Field), conditions(m.Query)
	for _, n := range m.Client {
		r.Client = append(r.Client, n.Prefix)
	}
	for i := range m.Not {
		r.Not = append(r.Not, m.Not[i].Rule())
	}
	return r
}

// conditions are those of a map from names to values, in the order of the names.
func conditions(m map[string][]string) (list []route.Condition) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		c := route.Condition{Name: name, Op: route.Equal}
		if slices.Contains(m[name], everyValue) {
			list = append(list, route.Condition{Name: name, Op: route.Present})
			continue
		}
		for _, v := range m[name] {
			begin, more := strings.CutSuffix(v, "*")
			if more {
				c.Op = route.Prefix
			}
			c.Values = append(c.Values, begin)
		}
		list = append(list, c)
	}
	return list
}
