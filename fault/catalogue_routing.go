package fault

// routing: well-formed requests for what is not here. No upstream has seen any of
// them.
var routing = []Row{
	{
		ID: NoSite, Phase: Route, Side: Client, Class: ClassNotHere,
		Status: 404, Proxy: "destination_not_found", Retry: NoRetry,
		Rule: "RFC 9110 §7.4",
		Requires: "A server decides by the host of a request whether it is one that it answers for. " +
			"What it does not know it must not pass on to whoever happens to stand behind it.",
		Title: "the client asks for a host that no site of this gateway is for",
		Saw:   "no site is for {host}; {near}",
		Causes: []string{
			"a DNS name that points here and has no site yet",
			"a Host that is not the site's name: an address, a name without its domain, a typing error",
			"a hop before the gateway that puts its own name into Host",
			"scanners, which try addresses and names at random",
		},
		Fix: []string{
			"add the host to a site, or a site `any` for whatever no other site is for",
			"let the hop before the gateway pass Host on (nginx: `proxy_set_header Host $host`)",
		},
		Related: []ID{NoRoute, MisdirectedRequest, RequestHostInvalid},
		Example: "GET / HTTP/1.1\r\nHost: shop.exmaple.org\r\n\r\n", Mark: 22,
		Nginx:   "the answer of the default server, which is the first one in the file",
		HAProxy: "503, termination state SC, backend `<NOSRV>`",
	},
	{
		ID: NoRoute, Phase: Route, Side: Client, Class: ClassNotHere,
		Status: 404, Proxy: "destination_not_found", Retry: NoRetry,
		Rule:     "RFC 9110 §15.5.5",
		Requires: "A request is answered by the first route of its site whose conditions it meets: path, method, fields, query, client.",
		Title:    "the client's request meets no route of its site",
		Saw:      "no route of {names} takes {value}; {near}",
		Causes: []string{
			"a path that the application has and no route names",
			"a route without /* at its end: /api takes that path alone, /api/* all below it as well",
			"a route that is for another method, field, query or client network than the request's",
			"another case: paths are compared byte by byte",
		},
		Fix: []string{
			"add a route, or one without a condition at the end for all the rest",
			"compare the request in the incident with the conditions of the nearest route",
		},
		Related: []ID{NoSite, RouteAmbiguous},
		Example: "GET /aip/v1 HTTP/1.1\r\nHost: shop.example.org\r\n\r\n", Mark: 4,
		Nginx:   "404, `open() \"/usr/share/nginx/html/aip/v1\" failed (2: No such file or directory)`",
		HAProxy: "503, termination state SC, backend `<NOSRV>`",
	},
	{
		ID: MisdirectedRequest, Phase: Route, Side: Client, Class: ClassNotHere,
		Status: 421, Proxy: "http_request_error", Retry: NoRetry,
		Rule: "RFC 9110 §15.5.20, RFC 9113 §9.1.1",
		Requires: "Over a TLS connection a client may ask for other hosts than the one that it connected for, if the certificate names them. " +
			"A server that does not answer for such a host says 421, and the client asks again over a connection of its own.",
		Title: "the client asks, over a connection for one host, for another that is not here",
		Saw:   "the connection is for {want}, the request for {host}, which no site is for; {near}",
		Causes: []string{
			"a certificate with a wildcard or several names, one of which is served elsewhere: browsers use one HTTP/2 connection for all of them",
			"a DNS name that points here by mistake, on the certificate of a site that is here",
			"a client that sets Host and not the name of its TLS connection",
		},
		Fix: []string{
			"nothing, if the host is served elsewhere: the client asks again over a connection of its own",
			"add the host to a site if it should be here",
		},
		Related: []ID{NoSite, Misdirected421},
		Example: "GET / HTTP/1.1\r\nHost: static.example.org\r\n\r\n", Mark: 22,
		Nginx:   "421, `client attempted to request the server name different from the one that was negotiated`, where clients show certificates",
		HAProxy: "503, termination state SC, backend `<NOSRV>`",
	},
	{
		ID: RouteAmbiguous, Phase: Route, Side: Client, Class: ClassBadRequest,
		Status: 400, Proxy: "http_request_error", Retry: NoRetry,
		Rule: "RFC 3986 §6.2.2",
		Requires: "Servers differ in how they read dot segments, empty segments, encoded slashes, backslashes and ;parameters. " +
			"Where such a path leads to one route in one reading and to another in another, no route is chosen: the application could read it in the other way.",
		Title: "the client's request can be read in more than one way, and they lead to different routes",
		Saw:   "{value} leads to {got} in one reading and to {want} in another",
		Causes: []string{
			"an attempt to get past the rules for one path by way of another, such as /public/..;/admin",
			"an identifier with a slash in it that was percent-encoded into the path",
			"a base URL that ends in a slash and a path that begins with one, put together: //api",
		},
		Fix: []string{
			"when it comes from addresses you do not know, treat it as an attack: nothing was passed on",
			"let the client remove dot segments and double slashes, and send identifiers in the query",
			"give all readings the same route, if they need no telling apart",
		},
		Related: []ID{NoRoute, RequestTargetInvalid},
		Example: "GET /public/..;/admin HTTP/1.1\r\nHost: a\r\n\r\n", Mark: 12,
		Nginx:   "takes one of the readings (decoded, slashes merged) to choose a location, and passes the path on as it came",
		HAProxy: "takes the path as it stands, unless told to normalize-uri",
	},
}
