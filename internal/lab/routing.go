package lab

import "github.com/gatewhy/gatewhy/fault"

// routingRecipes are well-formed requests for what is not there, against a good
// origin: it must not see them.
func routingRecipes() []*Recipe {
	get := func(name string, want fault.ID, status int, path string, sites ...Site) *Recipe {
		r := ask(name, want, status, "GET "+path+" HTTP/1.1\r\nHost: %HOST%\r\n\r\n")
		r.Sites = sites
		return r
	}
	here := func(paths ...string) Site { return Site{"a.test", paths} }
	tls := func(r *Recipe, sni string) *Recipe {
		r.OnTLS, r.SNI = true, sni
		return r
	}
	public := here("/public/*", "/admin/*")
	return []*Recipe{
		get("no_site", fault.NoSite, 404, "/", Site{"a.tset", []string{"/*"}}),
		get("no_site/wildcard", fault.NoSite, 404, "/", Site{"any.a.test", []string{"/*"}}),
		get("no_site/scheme", fault.NoSite, 404, "/", Site{"https://a.test", []string{"/*"}}),
		tls(get("no_site/tls", fault.NoSite, 404, "/", Site{"b.test", []string{"/*"}}), "a.test"),

		get("no_route", fault.NoRoute, 404, "/aip/v1?key=value", here("/api/*", "/about")),
		get("no_route/slash", fault.NoRoute, 404, "/about/", here("/about")),
		get("no_route/below", fault.NoRoute, 404, "/api/v1", here("/api")),
		get("no_route/case", fault.NoRoute, 404, "/API/v1", here("/api/*")),

		tls(get("misdirected_request", fault.MisdirectedRequest, 421, "/", Site{"b.test", []string{"/*"}}), "b.test"),

		get("route_ambiguous", fault.RouteAmbiguous, 400, "/public/..;/admin", public),
		get("route_ambiguous/dots", fault.RouteAmbiguous, 400, "/public/../admin", public),
		get("route_ambiguous/encoded-dots", fault.RouteAmbiguous, 400, "/public/%2e%2e/admin", public),
		get("route_ambiguous/encoded-slash", fault.RouteAmbiguous, 400, "/public/..%2fadmin", public),
		get("route_ambiguous/backslash", fault.RouteAmbiguous, 400, "/public/..\\admin", public),
		get("route_ambiguous/slashes", fault.RouteAmbiguous, 400, "//admin", public),
		get("route_ambiguous/nul", fault.RouteAmbiguous, 400, "/admin%00.html", public),
		get("route_ambiguous/host", fault.RouteAmbiguous, 400, "/", Site{"a.test", []string{"/*"}}, Site{"any", []string{"/*"}}).
			asks("GET / HTTP/1.1\r\nHost: %61.test\r\n\r\n"),
	}
}
