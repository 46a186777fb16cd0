package cli

import "maps"

// The settings and keys of upstreams among samples, strange and also.
func init() {
	maps.Copy(samples, map[string]string{"affinity": "srv"})
	maps.Copy(strange, map[string]any{
		"/upstreams/app/affinity/cookie": "srv", "/upstreams/app/affinity/key": "/x.key",
	})
	maps.Copy(also, map[string]map[string]any{
		"/upstreams/app/affinity/max-age": {"/upstreams/app/affinity/cookie": "srv"},
		"/upstreams/app/affinity/key":     {"/upstreams/app/affinity/cookie": "srv"},
	})
}
