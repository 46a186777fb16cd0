package config

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Rule is what `gatewhy explain NAME` says of one kind of problem.
type Rule struct {
	// Name is the problem's, for ever.
	Name string
	// Title says in a line what is wrong.
	Title string
	// Why says what the rule is for, and what to do.
	Why string
	// Wrong is a configuration with the problem, Right one without any. Further files
	// stand behind lines such as "-- conf.d/api.yaml --".
	Wrong, Right string
}

// Rules are all kinds of problems, by group and then in the order of the alphabet.
func Rules() []*Rule { return rules }

// FindRule returns the rule of that name, nil if there is none.
func FindRule(name string) *Rule {
	if i := slices.IndexFunc(rules, func(r *Rule) bool { return r.Name == name }); i >= 0 {
		return rules[i]
	}
	return nil
}

// Check reads the example of a rule, as if it were files of this machine.
func (r *Rule) Check() *Loaded { return read(r.Wrong) }

// read reads gatewhy.yaml of a text with several files.
func read(text string) *Loaded { return Load(Source{Path: "gatewhy.yaml", Files: several(text)}) }

// memory are files that are on no disk.
type memory map[string]string

// Read implements conf.Files.
func (m memory) Read(name string) ([]byte, error) {
	if s, ok := m[filepath.Clean(name)]; ok {
		return []byte(s), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Glob implements conf.Files.
func (m memory) Glob(pattern string) (list []string, err error) {
	for name := range m {
		if ok, err := path.Match(pattern, name); err != nil {
			return nil, err
		} else if ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}

// several makes files of a text: gatewhy.yaml, and those behind lines such as
// "-- name --".
func several(text string) memory {
	m := memory{}
	name, from := "gatewhy.yaml", 0
	for at := 0; at < len(text); {
		end := at + len(text[at:])
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if n, ok := strings.CutPrefix(strings.TrimSpace(text[at:end]), "-- "); ok && strings.HasSuffix(n, " --") {
			m[name] = text[from:at]
			name, from = strings.TrimSuffix(n, " --"), end
		}
		at = end
	}
	m[name] = text[from:]
	return m
}

// site is the rest of a configuration whose point is elsewhere.
const site = "sites:\n  any: localhost:3000\n"

var rules = slices.Concat(yamlRules, valueRules, wholeRules)

// What is no YAML, or more of it than the language has.
var yamlRules = []*Rule{
	{"after_quote", "something stands behind a closing quote",
		"A value that begins with a quote ends with it. Put the whole value in quotes, or write # before a comment.",
		"node: \"edge\" 1\n" + site, "node: \"edge-1\"\n" + site},
	{"anchor_outside_x", "an anchor outside an x- key",
		"An anchor (&name) gives a value a name, so that other places can share it (*name). Shared values stand below keys of your own, which begin with x-: so nobody has to search for what a place means.",
		"upstreams:\n  a: { to: :3001, timeout: &slow { first-byte: 5m } }\n  b: { to: :3002, timeout: *slow }\nsites:\n  a.example: a\n  b.example: b\n",
		"x-slow: &slow { first-byte: 5m }\nupstreams:\n  a: { to: :3001, timeout: *slow }\n  b: { to: :3002, timeout: *slow }\nsites:\n  \"http://a.example\": a\n  \"http://b.example\": b\n"},
	{"bad_escape", "a backslash in double quotes that is no escape",
		"In double quotes a backslash begins an escape such as \\n. In single quotes it is only itself.",
		"log: { file: \"\\data\\web.log\" }\n" + site, "log: { file: '/data/web.log' }\n" + site},
	{"bad_indent", "a line is indented differently from its neighbours",
		"What belongs together begins in the same column, and what is inside something else begins further right.",
		"log:\n  format: json\n   file: access.log\n" + site, "log:\n  format: json\n  file: access.log\n" + site},
	{"bad_list", "a list that is none",
		"The items of a list stand in lines of their own, each with a dash in the same column; or all of them in brackets.",
		"upstreams:\n  app:\n    to: - :3001\n        - :3002\nsites:\n  any: app\n", "upstreams:\n  app:\n    to: [:3001, :3002]\nsites:\n  any: app\n"},
	{"bracket_in_value", "a bracket or a brace that YAML takes for its own",
		"A value that begins with [ is a list and one that begins with { a map. An IPv6 address with a port needs quotes therefore, and so does a path with a capture when it stands between braces or brackets.",
		"sites:\n  any:\n    - { match: /blog/{slug}, proxy: \"[::1]:3000\" }\n", "sites:\n  any:\n    - { match: \"/blog/{slug}\", proxy: \"[::1]:3000\" }\n"},
	{"colon_in_value", "a colon and a blank in a value without quotes",
		"A colon with a blank behind it ends a key. Put the value in quotes to mean the text.",
		"errors: { contact: mail: ops@example.org }\n" + site, "errors: { contact: \"mail: ops@example.org\" }\n" + site},
	{"complex_key", "a key that is no word", "A key is a word; a list or a map cannot be one.",
		"? [a, b]\n: c\n" + site, site},
	{"control_character", "a character that no text has", "Characters that cannot be seen come in by copying, and hide what a line says. Delete them.",
		"node: edge\u00a0\u0085one\n" + site, "node: edge-one\n" + site},
	{"duplicate_key", "a key is given twice", "Of two values for one key, one would be lost. Keep one of them, or put what is below both into one.",
		"drain: 10s\n" + site + "drain: 30s\n", "drain: 30s\n" + site},
	{"leading_star", "a value that begins with * or &, without quotes",
		"YAML takes *name for what &name stands for. A wildcard is written any.example.org, or in quotes: \"*.example.org\".",
		"sites:\n  *.example.org: localhost:3000\n", "sites:\n  \"http://any.example.org\": localhost:3000\n"},
	{"merge_key", "the merge key <<", "YAML's merge key mixes two maps, and readers disagree about which one wins. Give a whole value by its alias, or write the keys out.",
		"x-t: &t { connect: 1s }\nupstreams:\n  app:\n    to: :3000\n    timeout: { <<: *t, read: 5s }\nsites:\n  any: app\n",
		"x-t: &t { connect: 1s, read: 5s }\nupstreams:\n  app:\n    to: :3000\n    timeout: *t\nsites:\n  any: app\n"},
	{"no_colon", "a key without a colon", "A key ends with a colon.", "sites\n  any: localhost:3000\n", site},
	{"no_space_after_colon", "no blank behind a colon", "Only a colon with a blank behind it ends a key: so addresses such as localhost:3000 need no quotes.",
		"drain:30s\n" + site, "drain: 30s\n" + site},
	{"not_a_map", "the file is no map of keys", "A configuration is made of keys with values: sites, upstreams, listen and so on.", "- localhost:3000\n", site},
	{"not_utf8", "the file is not UTF-8", "Configurations are UTF-8 text. Save the file as such.", "node: caf\xe9\n" + site, "node: cafe\n" + site},
	{"reserved_start", "a value that begins with a character that YAML keeps for itself", "A value that begins with @, % or a backquote stands in quotes.",
		"errors: { contact: @ops }\n" + site, "errors: { contact: \"@ops\" }\n" + site},
	{"several_documents", "several documents in one file", "A file is one document. Put each into a file of its own and name those under include.",
		site + "---\ndrain: 30s\n", "include: drain.yaml\n" + site + "-- drain.yaml --\ndrain: 30s\n"},
	{"tab_indent", "a tab at the beginning of a line", "How far a tab goes depends on who looks, so YAML allows only blanks there.",
		"sites:\n\tany: localhost:3000\n", site},
	{"too_deep", "something nests too deep", "No option is that deep: probably a bracket too many, or an alias within what it stands for. Files may include files eight levels deep.",
		"x-deep: " + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "\n" + site, site},
	{"too_large", "a configuration that is too large", "A file has at most 4 MiB and a configuration a million values, aliases counted as what they stand for. That is four times what 10 000 sites need.",
		"#" + strings.Repeat(" ", 4<<20) + "\n" + site, site},
	{"unclosed_bracket", "a bracket that does not close, or was never opened", "Each [ has its ] and each { its }.",
		"listen: { http: [:80, :8080 }\n" + site, "listen: { http: [:80, :8080] }\n" + site},
	{"unclosed_quote", "a quote that does not close", "A text that begins with a quote ends with the same.", "node: \"edge\n" + site, "node: \"edge\"\n" + site},
	{"unknown_anchor", "an alias of nothing", "*name stands for the value that &name marks further up in the same file. A text that begins with * stands in quotes.",
		"x-slow: &slow { first-byte: 5m }\nupstreams:\n  app: { to: :3000, timeout: *slwo }\nsites:\n  any: app\n",
		"x-slow: &slow { first-byte: 5m }\nupstreams:\n  app: { to: :3000, timeout: *slow }\nsites:\n  any: app\n"},
	{"yaml_directive", "a directive for YAML readers", "Lines such as %YAML 1.2 say nothing here. Delete them.", "%YAML 1.2\n---\n" + site, site},
	{"yaml_syntax", "the file is no YAML", "The reader of YAML stopped here. What is wrong is at the place shown, or just before it.", "sites: ]\n", site},
	{"yaml_tag", "a YAML tag", "A value that begins with ! is a tag to YAML, and the value itself is lost: `match: !/admin/*` would match everything. To turn a condition round, write not.",
		"sites:\n  any:\n    - { match: !/admin/*, proxy: localhost:3000 }\n", "sites:\n  any:\n    - { match: { not: /admin/* }, proxy: localhost:3000 }\n"},
}

// What is wrong with one value.
var valueRules = []*Rule{
	{"bad_address", "no address to listen on", "Where to listen is written :8080, 127.0.0.1:8080, localhost:8080, \"[::]:8080\" or unix:/run/web.sock. A name other than localhost may mean another machine tomorrow.",
		"listen: 8080\n" + site, "listen: :8080\n" + site},
	{"bad_boolean", "neither true nor false", "A switch is true or false. Other words for them are true in one YAML reader and a text in another.",
		"tls: { post-quantum: off }\n" + site, "tls: { post-quantum: false }\n" + site},
	{"bad_choice", "a word that is no choice here", "The key takes one of a few words.", "log: jsn\n" + site, "log: json\n" + site},
	{"bad_duration", "no duration", "A duration is a number with a unit: 500ms, 5s, 2m, 1h30m.", "drain: soon\n" + site, "drain: 30s\n" + site},
	{"bad_match", "a match that matches nothing, or cannot be read",
		"A path is /about for itself, /api/* for /api and all below it, /blog/{slug} for any one part. Everything else about a request has a key of its own: method, field, query, client, not.",
		"sites:\n  any:\n    - { match: /api*, proxy: :3001 }\n    - proxy: :3000\n", "sites:\n  any:\n    - { match: /api/*, proxy: :3001 }\n    - proxy: :3000\n"},
	{"bad_method", "no method", "Methods are written in capitals, as they are sent (RFC 9110 §9.1).",
		"sites:\n  any:\n    - { match: { method: get }, proxy: :3001 }\n    - proxy: :3000\n", "sites:\n  any:\n    - { match: { method: GET }, proxy: :3001 }\n    - proxy: :3000\n"},
	{"bad_name", "a name that reads like something else", "The name of an upstream has no colon, slash, # or blank, so that it cannot be taken for a target.",
		"upstreams:\n  \"app:3000\": :3000\nsites:\n  any: \"app:3000\"\n", "upstreams:\n  app: :3000\nsites:\n  any: app\n"},
	{"bad_network", "no network", "A network is written with its length, as in 10.0.0.0/8, and begins where its bits say. A single address stands for itself.",
		"sites:\n  any:\n    - { match: { client: 10.1.2.3/8 }, proxy: :3001 }\n    - proxy: :3000\n", "sites:\n  any:\n    - { match: { client: 10.0.0.0/8 }, proxy: :3001 }\n    - proxy: :3000\n"},
	{"bad_number", "no number", "A number stands without quotes, units and separators.", "limits: { fields: 1_000 }\n" + site, "limits: { fields: 1000 }\n" + site},
	{"bad_placeholder", "a placeholder that stands for nothing", "${env.NAME} stands for a variable of the environment, in addresses, names and paths.",
		"sites:\n  any: ${UPSTREAM}\n", "sites:\n  any: localhost:3000\n"},
	{"bad_site_name", "no name of a site",
		"A site has the name of a host: example.org, any.example.org for all names below it, any for every host; with http:// in front it is served in plain HTTP only. Ports stand under listen, paths in the match of a route.",
		"sites:\n  \"http://example.org/api\": localhost:3000\n", "sites:\n  \"http://example.org\":\n    - { match: /api/*, proxy: localhost:3000 }\n"},
	{"bad_size", "no size", "A size is a number with a unit: 512B, 64KiB, 10MB.", "limits: { body: big }\n" + site, "limits: { body: 10MiB }\n" + site},
	{"bad_target", "no target", "A target is HOST:PORT, :PORT on this machine, :3000-3003, https://HOST, h2c://HOST:PORT or unix:/PATH. It has no path: requests keep theirs.",
		"sites:\n  any: http://app:3000/v1\n", "sites:\n  any: http://app:3000\n"},
	{"bad_value", "a value that cannot be", "What the value should be is said beside it.", "node: edge one\n" + site, "node: edge-1\n" + site},
	{"braces_are_a_map", "a value in braces", "YAML takes {name} for a map with the key name. Put it in quotes to mean the text.",
		"errors: { contact: {mail} }\n" + site, "errors: { contact: \"{mail}\" }\n" + site},
	{"empty_list", "a list with nothing in it", "An empty list reads as all or as nothing. Leave the key away to mean the default.",
		"listen: { http: [] }\n" + site, site},
	{"empty_value", "a key without a value", "A key without a value was begun and not finished. Give it one, or leave the key away.", "limits:\n" + site, "limits: { body: 10MiB }\n" + site},
	{"env_not_here", "a variable where none can be", "Variables of the environment stand in addresses, names and paths, so that a reader knows what depends on the machine.",
		"errors: { contact: \"${env.MAIL}\" }\n" + site, "errors: { contact: ops@example.org }\n" + site},
	{"env_not_set", "a variable that is not set", "${env.NAME} needs a variable NAME, or NAME_FILE with the path of a file that holds the value. There is no default: a typing error would go unseen.",
		"sites:\n  any: ${env.NO_SUCH_VARIABLE}\n", site},
	{"missing_key", "a key that must be there is missing", "What cannot be without the key is said beside it.", "upstreams:\n  app: { retry: 2 }\nsites:\n  any: app\n", "upstreams:\n  app: { to: :3000, retry: 2 }\nsites:\n  any: app\n"},
	{"missing_port", "a target without a port", "Nothing says which port is meant: write app:80, or http://app.", "upstreams:\n  app: { to: app.internal }\nsites:\n  any: app\n", "upstreams:\n  app: { to: app.internal:80 }\nsites:\n  any: app\n"},
	{"missing_unit", "a number without a unit", "60 is a minute to nginx and a twentieth of a second to HAProxy: say which. The same holds for sizes.",
		"drain: 30\n" + site, "drain: 30s\n" + site},
	{"octal_number", "a number that begins with 0", "0644 is 644 to some readers and 420 to others.", "limits: { fields: 0200 }\n" + site, "limits: { fields: 200 }\n" + site},
	{"out_of_range", "a value outside its bounds", "The bounds are said beside it.", "upstreams:\n  app: { to: :3000, retry: 99 }\nsites:\n  any: app\n", "upstreams:\n  app: { to: :3000, retry: 3 }\nsites:\n  any: app\n"},
	{"unknown_key", "a key that is none here", "A key that nobody reads does nothing, and whoever wrote it thinks that it does. Keys of your own begin with x-.",
		"upstreams:\n  app: { to: :3000, timout: { read: 5s } }\nsites:\n  any: app\n", "upstreams:\n  app: { to: :3000, timeout: { read: 5s } }\nsites:\n  any: app\n"},
	{"wrong_kind", "a list, a map or a value where something else belongs", "What belongs there is said beside it.", "drain: [30s]\n" + site, "drain: 30s\n" + site},
}

// What is wrong with several values together, and with files.
var wholeRules = []*Rule{
	{"log_template", "the template of the log and its format do not agree",
		"The format template writes lines as the template says. The other formats have lines of their own.",
		"log: { format: template, file: access.log }\n" + site, "log: { format: template, template: \"${client.address} ${http.response.status_code}\" }\n" + site},
	{"send_proxy_http2", "PROXY headers and HTTP/2 to the same upstream",
		"A PROXY header begins a connection and says which client it is for. The connections of HTTP/2 carry requests of many clients at a time, so the header would tell of the wrong ones. X-Forwarded-For tells of each request's own.",
		"upstreams:\n  app: { to: h2c://localhost:3000, send-proxy: v2 }\nsites:\n  any: app\n", "upstreams:\n  app: { to: localhost:3000, send-proxy: v2 }\nsites:\n  any: app\n"},
	{"bad_certificate", "a certificate that cannot be used", "A certificate and its key are PEM files. The certificate comes first in its file, then its intermediates; the key is the one it was made for.",
		"listen: { https: :443 }\ntls: { certificates: site.pem }\n" + site + "-- site.pem --\nnothing\n", "listen: { https: :443 }\ntls: { self-signed: true }\n" + site},
	{"cannot_read", "a file that cannot be read", "The file is not there, or this user may not read it.", "include: missing.yaml\n" + site, site},
	{"certificate_expired", "a certificate that has expired", "Clients refuse it. Renew it; the gateway starts all the same, so that a restart does not make it worse.", "", ""},
	{"certificate_unused", "a certificate and no HTTPS listener", "Nobody is shown the certificate: listen for HTTPS as well.",
		"listen: :8080\ntls: { self-signed: true }\n" + site, "listen: { http: :8080, https: :8443 }\ntls: { self-signed: true }\n" + site},
	{"conflicting_sites", "two sites for the same requests", "The first of two sites would win or the last: put their routes into one.",
		"sites:\n  \"http://example.org\": :3000\n  \"http://EXAMPLE.org\": :3001\n", "sites:\n  \"http://example.org\": :3000\n  \"http://www.example.org\": :3001\n"},
	{"duplicate_listener", "two listeners in the same place", "A port can be taken once: :8080 takes it on every address.",
		"listen: [:8080, \"127.0.0.1:8080\"]\n" + site, "listen: :8080\n" + site},
	{"duplicate_target", "a target that is there twice", "The same endpoint twice gets twice the load, and is tried again by the same failure.",
		"upstreams:\n  app: [:3000, \"localhost:3000\"]\nsites:\n  any: app\n", "upstreams:\n  app: [:3000, :3001]\nsites:\n  any: app\n"},
	{"include_conflict", "two files set the same", "No file overrides another: keep the value in one of them. Files may add sites and upstreams to those of others.",
		"include: other.yaml\ndrain: 10s\n" + site + "-- other.yaml --\ndrain: 30s\n", "include: other.yaml\n" + site + "-- other.yaml --\ndrain: 30s\n"},
	{"health_never", "health checks that never happen as written", "Checks ask for a path, or only connect; without either there are none.",
		"upstreams:\n  app: { to: :3000, health: { every: 5s } }\nsites:\n  any: app\n", "upstreams:\n  app: { to: :3000, health: { path: /healthz, every: 5s } }\nsites:\n  any: app\n"},
	{"affinity_key", "an affinity that binds nobody, or whose cookies can be guessed", "Affinity needs a cookie's name. Its key makes the cookie's values: who can guess it can tell which endpoint is which.",
		"upstreams:\n  app: { to: :3000, affinity: { max-age: 1h } }\nsites:\n  any: app\n", "upstreams:\n  app: { to: :3000, affinity: { cookie: endpoint, max-age: 1h } }\nsites:\n  any: app\n"},
	{"include_cycle", "a file that includes itself", "Following the includes leads back to the same file.", "include: other.yaml\n" + site + "-- other.yaml --\ninclude: gatewhy.yaml\n", site},
	{"include_nothing", "a pattern that matches no file", "Nothing is included. If that may be, leave the line away until there is a file, or make the directory, which may be empty.", "include: conf.d/*.yaml\n" + site, site},
	{"limit_never", "a limit that another one always comes before", "A line cannot be longer than the head that it is in: the smaller limit holds.",
		"limits: { head: 16KiB, line: 32KiB, start-line: 8KiB }\n" + site, "limits: { head: 16KiB, line: 8KiB, start-line: 8KiB }\n" + site},
	{"missing_file", "a file that is not there", "Paths are relative to the file that they are written in.", "listen: { https: :443 }\ntls: { certificates: { cert: site.pem, key: site.key } }\n" + site, "listen: { https: :443 }\ntls: { self-signed: true }\n" + site},
	{"only_itself", "a path that ends with a slash", "/api/ is one path; /api/* is /api and all below it.", "sites:\n  any:\n    - { match: /api/, proxy: :3001 }\n    - proxy: :3000\n", "sites:\n  any:\n    - { match: /api/*, proxy: :3001 }\n    - proxy: :3000\n"},
	{"proxy_loop", "a target that is the gateway itself", "Each request would come back, until somebody gives up. Name the port of the application.",
		"listen: :8080\nsites:\n  any: localhost:8080\n", "listen: :8080\nsites:\n  any: localhost:3000\n"},
	{"site_without_listener", "a site that nobody can reach", "A site with https:// needs an HTTPS listener, one with http:// a plain one.",
		"listen: :8080\nsites:\n  \"https://example.org\": :3000\n", "listen: { http: :8080, https: :8443 }\ntls: { self-signed: true }\nsites:\n  \"https://example.org\": :3000\n"},
	{"timeout_never", "a timeout that another one always comes before", "The whole exchange ends before the phase may: the error would name the wrong one.",
		"timeout: { total: 10s }\nupstreams:\n  app: { to: :3000, timeout: { first-byte: 30s } }\nsites:\n  any: app\n",
		"timeout: { total: 60s }\nupstreams:\n  app: { to: :3000, timeout: { first-byte: 30s } }\nsites:\n  any: app\n"},
	{"tls_without_certificate", "HTTPS without a certificate", "Name a certificate and its key, or try out with one that is made at the start (self-signed).",
		"listen: { https: :8443 }\n" + site, "listen: { https: :8443 }\ntls: { self-signed: true }\n" + site},
	{"unknown_upstream", "a name that no upstream has", "A route names an upstream of the upstreams key, or a target with its port.",
		"upstreams:\n  app: :3000\nsites:\n  any: ap\n  \"http://example.org\": app\n", "upstreams:\n  app: :3000\nsites:\n  any: app\n"},
	{"unreachable_route", "a route that no request reaches", "The first route that matches takes a request, from top to bottom. Put the narrow ones first.",
		"sites:\n  any:\n    - proxy: :3000\n    - { match: /admin/*, proxy: :3001 }\n", "sites:\n  any:\n    - { match: /admin/*, proxy: :3001 }\n    - proxy: :3000\n"},
	{"unused_upstream", "an upstream that no route leads to", "Perhaps a route is missing, or its name is written differently.", "upstreams:\n  old: :3001\n" + site, site},
}
