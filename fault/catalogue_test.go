package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// params are the facts that a row's Saw may name in braces. Whoever makes a
// fault tells each of them that its row asks for, in the form given here.
var params = map[string]string{
	"address":   "what was dialled: host:port with a literal address, or the path of a unix socket",
	"after":     "a time that passed, as a Go duration: 1.2s",
	"age":       "how long a connection had been open, as a Go duration",
	"alert":     "number of a TLS alert (RFC 8446 §6); value is its text",
	"attempts":  "a number of attempts; for several addresses, each with its errno: [::1]:80 ECONNREFUSED after 1ms, 127.0.0.1:80 ECONNREFUSED after 1ms",
	"byte":      "the offending byte: ':', 0x20 (space) or 0xe9",
	"code":      "an HTTP/2 error code by its name, or its number if it has none: PROTOCOL_ERROR, 0x000000f1; or a gRPC status",
	"coding":    "a transfer or content coding",
	"count":     "a number of things",
	"debug":     "the debug data of a GOAWAY, quoted, shortened; nothing if there is none",
	"delivered": `"none" when TCP proves that no byte of the request was delivered`,
	"endpoint":  "the endpoint as it was configured",
	"errno":     "what the kernel said: ECONNREFUSED, or in its words",
	"field":     "a field name as received",
	"flaw":      "the broken rule in a few words: white space between name and colon",
	"frame":     "an HTTP/2 frame: DATA frame of 5 bytes on stream 1; or only its type: PING",
	"got":       "what came, quoted where it is bytes",
	"host":      "the name that was looked up, or that a certificate was to prove",
	"idle":      "how long a connection had not been used, as a Go duration",
	"issuer":    "the distinguished name of a certificate's issuer",
	"last":      "the last stream that a GOAWAY names",
	"limit":     "the limit that was reached: a Go duration such as 5s, or a plain number",
	"line":      "the offending line, quoted, shortened",
	"loop":      "the value of Via, the path of the loop",
	"near":      "what is most like what was asked for: the nearest is shop.example.org; or that nothing is",
	"names":     "names with commas between them, as in a certificate, or with arrows, as in a chain of aliases",
	"notafter":  "the end of a certificate's validity, RFC 3339",
	"notbefore": "the start of a certificate's validity, RFC 3339",
	"offset":    "offset of the offending byte in its message, or of the place where a message ended",
	"protocol":  "a protocol that bytes were recognised as: TLS, SSH, SMTP",
	"rcode":     "name of a DNS response code: SERVFAIL",
	"received":  "a number of bytes that had come: of the body in a body fault, of the message otherwise",
	"resolver":  "address of the DNS server that was asked",
	"size":      "a number of bytes",
	"states":    "states of endpoints with commas between them: 10.0.0.1:80 is drained, 10.0.0.2:80 is in maintenance",
	"status":    "a status code that was received",
	"stream":    "the number of an HTTP/2 stream; 0 is the connection",
	"subject":   "the distinguished name of a certificate's subject",
	"upstream":  "the name of an upstream",
	"types":     "types of DNS records: A, AAAA",
	"value":     "a value as received, quoted; or what a library said, in its words",
	"waiting":   "a number of requests that wait",
	"want":      "what should have come",
	"window":    "whose flow control window: stream 1, or the connection",
}

// options are those of the gateway that a row may recommend.
var options = []string{
	"--timeout-resolve", "--timeout-connect", "--timeout-tls", "--timeout-send", "--timeout-first-byte",
	"--timeout-read", "--timeout-total", "--timeout-idle", "--timeout-client-head", "--timeout-client-body",
	"--timeout-keep-alive", "--timeout-reply", "--max-head", "--max-line", "--max-fields", "--max-body",
	"--max-response-body", "--max-connections", "--retry-attempts", "--retry-budget", "--replay-memory",
	"--replay-disk", "--idempotency-key", "--grace", "--no-repair", "--resolver", "--upstream-ca",
	"--upstream-server-name", "--node", "--errors-detail", "--eject-after", "--eject-share", "--eject-for", "--no-last-resort",
	"--endpoint-max-requests", "--endpoint-max-connections", "--queue", "--queue-timeout",
	"--http2", "--http2-resets", "--http2-control", "--upstream-http2", "--timeout-h2-ping",
}

// errorTypes are the registered Proxy-Status error types (RFC 9209 §2.3) and
// the status that each recommends; 0 where it names none in particular.
var errorTypes = map[string]int{
	"dns_timeout": 504, "dns_error": 502,
	"destination_not_found": 500, "destination_unavailable": 503,
	"destination_ip_prohibited": 502, "destination_ip_unroutable": 502,
	"connection_refused": 502, "connection_terminated": 502, "connection_timeout": 504,
	"connection_read_timeout": 504, "connection_write_timeout": 504, "connection_limit_reached": 503,
	"tls_protocol_error": 502, "tls_certificate_error": 502, "tls_alert_received": 502,
	"http_request_error": 0, "http_request_denied": 403,
	"http_response_incomplete": 502, "http_response_header_section_size": 502,
	"http_response_header_size": 502, "http_response_body_size": 502,
	"http_response_trailer_section_size": 502, "http_response_trailer_size": 502,
	"http_response_transfer_coding": 502, "http_response_content_coding": 502,
	"http_response_timeout": 504, "http_upgrade_failed": 502, "http_protocol_error": 502,
	"proxy_internal_response": 0, "proxy_internal_error": 500,
	"proxy_configuration_error": 500, "proxy_loop_detected": 502,
}

// otherStatus says why a row has another status than its error type recommends.
var otherStatus = map[ID]string{
	ConnectDenied:         "to the client it is an upstream that cannot be reached, as with every failed connect",
	ConnectOther:          "502 as every failed connect: the endpoint was tried, which 503 would hide",
	DNSAllAddressesFailed: "502 as every failed connect: the endpoints were tried, which 503 would hide",
	UnixSocketMissing:     "502 as every failed connect: another instance or a restart helps, so it is no 500",
	NoSite:                "404 as all servers say it: the mistake is the client's, or our owner's choice, and no outage",
	NoRoute:               "404 as all servers say it: the mistake is the client's, or our owner's choice, and no outage",
	LocalFDExhausted:      "503 with Retry-After: it passes",
	LocalPortExhausted:    "503 with Retry-After: it passes",
	LocalMemoryExhausted:  "503 with Retry-After: it passes",
}

// noStatus says why a failure has no status of its own.
var noStatus = map[ID]string{
	ReplyTimeout:   "its answer has begun",
	RequestH2Error: "no answer can be given: the connection ends with GOAWAY",
	RequestH2Flood: "no answer can be given: the connection ends with GOAWAY",
	WSIdleTimeout:  "the answer was 101, and ended",
}

// noProxy says why a failure has no Proxy-Status type.
var noProxy = map[ID]string{
	ClientGone:     "nobody is left to read it",
	RequestH2Error: "no answer can be given: the connection ends with GOAWAY",
	RequestH2Flood: "no answer can be given: the connection ends with GOAWAY",
	ReplyTimeout:   "nobody is left to read it",
}

// noSide says why nobody has to act.
var noSide = map[ID]string{
	WSIdleTimeout: "both sides were silent",
}

// manuals are the sources beside RFCs that a Rule may cite.
var manuals = []string{"connect(2)", "socket(2)", "write(2)", "unix(7)", grpcOverHTTP2, grpcMapping}

// outside lists those names of testdata/faults.txt, the full list of what can
// go wrong up to HTTP/2 and gRPC, that have no row, each with the reason.
var outside = map[string]string{
	"no_cluster":                      "upstreams are given as arguments and have no names that could be wrong",
	"upstream_addr_invalid":           "refused at the start, before there is a request",
	"rate_limited":                    "there are no rate limits",
	"request_denied":                  "there are no access rules",
	"auth_service_failed":             "there are no authorization requests",
	"loop_cdn":                        "CDN-Loop is passed on and not judged; loop_via finds the loops through this node",
	"destination_ip_prohibited":       "endpoints are chosen by the operator, never by a request",
	"response_transform_failed":       "answers are not transformed",
	"gateway_draining":                "a drain finishes what has begun and answers nothing with 503",
	"dns_srv_empty":                   "pool_empty says it, with what the name server said",
	"socks_failed":                    "there are no parent proxies",
	"proxy_header_rejected":           "a server that dislikes the header only hangs up, as for many reasons; nothing tells them apart",
	"tls_alpn_mismatch":               "a server without a protocol of ours answers alert 120 or picks nothing, which means http/1.1",
	"tls_cert_revoked":                "revocation is not checked",
	"tls_pin_mismatch":                "certificates are not pinned",
	"tls_early_data_rejected":         "no early data is sent",
	"tls_renegotiation":               "crypto/tls refuses it and it cannot be told from other broken records",
	"reuse_wrong_tenant":              "requests carry no marker that an answer could be compared with",
	"path_mtu_blackhole":              "it cannot be told from silence without TCP statistics over time: body_read_timeout",
	"body_too_slow":                   "there is no minimum rate: body_read_timeout and total_timeout bound slow answers",
	"body_buffer_overflow_spool":      "answers are never spooled",
	"content_coding_truncated":        "content is not decoded",
	"content_coding_unsupported":      "content is not decoded",
	"decompression_bomb":              "content is not decoded",
	"content_digest_mismatch":         "digests are not computed",
	"range_mismatch":                  "ranges are not cut or joined",
	"h2_extended_connect_unsupported": "upgrades take an HTTP/1.1 connection: no extended CONNECT is sent",
	"grpc_message_too_large":          "messages are passed on as they come and have no limit of their own: body_too_large",
}

// declaredIDs reads the constants of ids.go: name in Go to value, in order.
func declaredIDs(t *testing.T) (names, values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "ids.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "ID" {
				t.Errorf("%s has no type ID", v.Names[0])
				continue
			}
			value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			names, values = append(names, v.Names[0].Name), append(values, value)
		}
	}
	return names, values
}

func TestEveryIDHasOneRow(t *testing.T) {
	names, values := declaredIDs(t)
	if len(values) < 100 {
		t.Fatalf("ids.go declares %d ids, which cannot be all", len(values))
	}
	rows := make([]string, 0, len(values))
	for _, r := range Catalogue() {
		rows = append(rows, string(r.ID))
	}
	// Same ids, each once, in the same order: the life of an exchange.
	if diff := cmp.Diff(values, rows); diff != "" {
		t.Errorf("ids.go (-) and the rows (+) differ:\n%s", diff)
	}
	valid := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	for i, v := range values {
		if !valid.MatchString(v) {
			t.Errorf("%s = %q is not snake_case", names[i], v)
		}
		if got := strings.ToLower(names[i]); got != strings.ReplaceAll(v, "_", "") {
			t.Errorf("%s is called %q: Go and the world must say the same", names[i], v)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, r := range Catalogue() {
		if got := Lookup(r.ID); got != r || !Known(r.ID) {
			t.Errorf("Lookup(%q) = %p, Known %v, want its row %p", r.ID, got, Known(r.ID), r)
		}
		if f := New(r.ID); f.At != r.Phase || f.Row() != r || f.Offset() != -1 {
			t.Errorf("New(%q) is in phase %v at %d, want %v at -1", r.ID, f.At, f.Offset(), r.Phase)
		}
	}
	for _, id := range []ID{"", "no_such_fault"} {
		if r := Lookup(id); r == nil || r.ID != GatewayInternalError || Known(id) {
			t.Errorf("Lookup(%q) = %v, Known %v: even a bug must be explained", id, r, Known(id))
		}
	}
}

func TestRowsAreWhole(t *testing.T) {
	for _, r := range Catalogue() {
		t.Run(string(r.ID), func(t *testing.T) {
			if r.Phase == NoPhase || r.Phase >= phases {
				t.Errorf("Phase %d", r.Phase)
			}
			if _, ok := noSide[r.ID]; (r.Side == NoSide) != ok {
				t.Errorf("Side %v, in noSide %v", r.Side, ok)
			}
			if r.Class == NoClass || r.Class >= classes {
				t.Errorf("Class %d", r.Class)
			}
			if r.Kind > Notice || r.Retry >= retries {
				t.Errorf("Kind %d, Retry %d", r.Kind, r.Retry)
			}
			for name, s := range map[string]string{"Title": r.Title, "Requires": r.Requires, "Saw": r.Saw, "Rule": r.Rule} {
				if s == "" {
					t.Errorf("no %s", name)
				}
			}
			if n := len(r.Causes); n < 1 || n > 4 {
				t.Errorf("%d causes, want 1 to 4", n)
			}
			if n := len(r.Fix); n < 1 || n > 3 {
				t.Errorf("%d fixes, want 1 to 3", n)
			}
			if r.Example == "" && r.Mark != -1 || r.Mark < -1 || r.Example != "" && r.Mark >= len(r.Example) {
				t.Errorf("Mark %d in an example of %d bytes", r.Mark, len(r.Example))
			}
		})
	}
}

// words are all sentences of a row.
func (r *Row) words() []string {
	return slices.Concat([]string{r.Title, r.Requires, r.Saw, r.Bearing, r.Nginx, r.HAProxy}, r.Causes, r.Fix)
}

func TestWords(t *testing.T) {
	banned := []string{"illegal", "todo", "fixme", "—", "blacklist", "whitelist", "simply", "please", "  "}
	title := map[string]ID{}
	for _, r := range Catalogue() {
		for _, s := range r.words() {
			for _, w := range banned {
				if strings.Contains(strings.ToLower(s), w) {
					t.Errorf("%s: %q in %q", r.ID, w, s)
				}
			}
			if !utf8.ValidString(s) || strings.TrimSpace(s) != s || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("%s: %q does not fit on one line", r.ID, s)
			}
			// Commands and log lines stand in ``; rules may speak of that character itself.
			if strings.Count(s, "`")%2 != 0 && s != r.Requires {
				t.Errorf("%s: an open ` in %q", r.ID, s)
			}
		}
		if n := utf8.RuneCountInString(r.Title); n >= 100 {
			t.Errorf("%s: Title has %d characters: %q", r.ID, n, r.Title)
		}
		if first, _ := utf8.DecodeRuneInString(r.Title); unicode.IsUpper(first) {
			t.Errorf("%s: Title begins with a capital: %q", r.ID, r.Title)
		}
		if other, ok := title[r.Title]; ok {
			t.Errorf("%s and %s have the same title: %q", other, r.ID, r.Title)
		}
		title[r.Title] = r.ID
		for _, s := range slices.Concat([]string{r.Title, r.Saw, r.Bearing}, r.Causes, r.Fix) {
			if strings.HasSuffix(s, ".") {
				t.Errorf("%s: a final stop: %q", r.ID, s)
			}
		}
		if !strings.HasSuffix(r.Requires, ".") {
			t.Errorf("%s: Requires is a sentence and ends with a stop: %q", r.ID, r.Requires)
		}
	}
}

func TestRelated(t *testing.T) {
	for _, r := range Catalogue() {
		if n := len(r.Related); n < 1 || n > 3 {
			t.Errorf("%s: %d related faults, want 1 to 3", r.ID, n)
		}
		seen := map[ID]bool{r.ID: true}
		for _, id := range r.Related {
			if !Known(id) {
				t.Errorf("%s: related %q does not exist", r.ID, id)
			}
			if seen[id] {
				t.Errorf("%s: related %q is itself or named twice", r.ID, id)
			}
			seen[id] = true
		}
	}
}

func TestSaw(t *testing.T) {
	brace := regexp.MustCompile(`[{}]`)
	name := regexp.MustCompile(`\{([a-z]+)\}`)
	used := map[string]bool{}
	var all []string
	for p, what := range params {
		if what == "" {
			t.Errorf("param %q is not described", p)
		}
		all = append(all, p, "<"+p+">")
	}
	for _, r := range Catalogue() {
		for _, m := range name.FindAllStringSubmatch(r.Saw, -1) {
			if _, ok := params[m[1]]; !ok {
				t.Errorf("%s: param %s is not described in params", r.ID, m[0])
			}
			used[m[1]] = true
		}
		if got := New(r.ID, all...).Observed(); brace.MatchString(got) {
			t.Errorf("%s: with all params told, braces are left: %q", r.ID, got)
		}
		for _, s := range slices.Concat([]string{r.Title, r.Requires, r.Bearing}, r.Causes, r.Fix) {
			if name.MatchString(s) {
				t.Errorf("%s: only Saw is filled in: %q", r.ID, s)
			}
		}
	}
	for p := range params {
		// delivered is for package trail, which judges the effect of a request by it.
		if !used[p] && p != "delivered" {
			t.Errorf("no row uses param %q", p)
		}
	}
}

func TestStatusAndProxyStatus(t *testing.T) {
	if len(errorTypes) != 32 {
		t.Fatalf("%d error types, RFC 9209 registers 32", len(errorTypes))
	}
	for _, r := range Catalogue() {
		want, ok := errorTypes[r.Proxy]
		if r.Proxy != "" && !ok {
			t.Errorf("%s: Proxy-Status type %q is not registered", r.ID, r.Proxy)
		}
		if r.Kind == Notice {
			if r.Status != 0 {
				t.Errorf("%s: a notice with status %d: it changes nothing for the client", r.ID, r.Status)
			}
			continue
		}
		if _, ok := noProxy[r.ID]; (r.Proxy == "") != ok {
			t.Errorf("%s: Proxy-Status type %q, in noProxy %v", r.ID, r.Proxy, ok)
		}
		if _, ok := noStatus[r.ID]; (r.Status == 0) != ok {
			t.Errorf("%s: status %d, in noStatus %v", r.ID, r.Status, ok)
		}
		if r.Status == 0 {
			continue
		}
		differs := want != 0 && r.Status != want
		if _, ok := otherStatus[r.ID]; differs != ok {
			t.Errorf("%s: status %d, %s recommends %d, in otherStatus %v", r.ID, r.Status, r.Proxy, want, ok)
		}
		if r.Proxy == "http_request_error" && (r.Status < 400 || r.Status > 499) {
			t.Errorf("%s: http_request_error with status %d, want 4xx (RFC 9209 §2.3.16)", r.ID, r.Status)
		}
		// A client's mistake must not look like an outage: 5xx of its own making
		// are the two by which HTTP says "not here".
		if r.Side == Client && r.Status >= 500 && r.Status != 501 && r.Status != 505 {
			t.Errorf("%s: status %d for a client's mistake", r.ID, r.Status)
		}
		if (r.Side == Upstream || r.Side == Gateway) && r.Status < 500 {
			t.Errorf("%s: status %d blames the client for what the %v did", r.ID, r.Status, r.Side)
		}
		if timeout := strings.HasSuffix(string(r.ID), "_timeout"); timeout && r.Status != 504 && r.Status != 408 && r.Class != ClassBusy {
			t.Errorf("%s: a timeout with status %d", r.ID, r.Status)
		}
	}
	for _, reasons := range []map[ID]string{otherStatus, noStatus, noProxy, noSide} {
		for id, why := range reasons {
			if !Known(id) || why == "" {
				t.Errorf("exception %q: known %v, reason %q", id, Known(id), why)
			}
		}
	}
}

// What the place of a fault proves holds for each row of the family.
func TestRetry(t *testing.T) {
	for _, r := range slices.Concat(resolving, connecting) {
		if r.Retry != RC {
			t.Errorf("%s: retry %v, but nothing was sent: RC", r.ID, r.Retry)
		}
	}
	for _, r := range local {
		if r.Retry != RL && r.ID != GatewayInternalError {
			t.Errorf("%s: retry %v, but no attempt was made: RL", r.ID, r.Retry)
		}
	}
	for _, r := range slices.Concat(client, routing) {
		if r.Retry != NoRetry || r.Side != Client {
			t.Errorf("%s: retry %v, side %v: the client must act, and no retry helps", r.ID, r.Retry, r.Side)
		}
	}
	for _, r := range securing {
		name := string(r.ID)
		if alert := strings.HasPrefix(name, "tls_alert_"); alert != (r.Proxy == "tls_alert_received") {
			t.Errorf("%s: Proxy-Status type %s", r.ID, r.Proxy)
		}
		if cert := strings.HasPrefix(name, "tls_cert_"); cert != (r.Proxy == "tls_certificate_error") {
			t.Errorf("%s: Proxy-Status type %s", r.ID, r.Proxy)
		}
		if r.Phase == Secure && r.Retry != RC && r.Retry != R0 {
			t.Errorf("%s: retry %v, but the request was not sent: RC or R0", r.ID, r.Retry)
		}
		if r.Phase != Secure && (r.Retry == RC || r.Retry == R0) {
			t.Errorf("%s: retry %v, but the request was sent", r.ID, r.Retry)
		}
	}
	for _, r := range Catalogue() {
		// HTTP/2 has frames that say "not processed"; HTTP/1.1 says it by an answer.
		if r.Retry == RU && r.Kind != Notice && !strings.HasPrefix(string(r.ID), "h2_") {
			t.Errorf("%s: the upstream says \"not processed\" by a valid answer, which is a notice", r.ID)
		}
	}
}

// A citation is "RFC 9112 §6.3", "RFC 9112 §6.3 item 5, §11.2", several of
// them with commas between, or a manual page.
func TestRules(t *testing.T) {
	const section = `§\d+(\.\d+)*( item \d+)?`
	const source = `RFC \d+( ` + section + `(, ` + section + `)*)?`
	rfc := regexp.MustCompile(`^` + source + `(, ` + source + `)*$`)
	for _, r := range Catalogue() {
		if !rfc.MatchString(r.Rule) && !slices.Contains(manuals, r.Rule) {
			t.Errorf("%s: citation %q is no RFC and none of %v", r.ID, r.Rule, manuals)
		}
	}
}

func TestBearingNamesOptions(t *testing.T) {
	option := regexp.MustCompile(`--[a-z][a-z0-9-]*`)
	for _, r := range Catalogue() {
		found := option.FindAllString(r.Bearing, -1)
		if r.Bearing != "" && len(found) == 0 {
			t.Errorf("%s: Bearing names no option: %q", r.ID, r.Bearing)
		}
		for _, o := range found {
			if !slices.Contains(options, o) {
				t.Errorf("%s: Bearing names %s, which this gateway does not have", r.ID, o)
			}
		}
	}
}

// Each name of the full list is a row, or stands outside with a reason; never
// both and never neither.
func TestInAndOut(t *testing.T) {
	raw, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(raw))
	slices.Sort(names)
	if want := slices.Compact(slices.Clone(names)); len(want) != len(names) {
		t.Errorf("testdata/faults.txt names %d faults, %d of them once", len(names), len(want))
	}
	out := slices.Sorted(maps.Keys(outside))
	got := slices.Clone(out)
	for _, n := range names {
		if Known(ID(n)) {
			got = append(got, n)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("the list (-) and what is in or out (+) differ:\n%s", diff)
	}
	for _, n := range out {
		if outside[n] == "" {
			t.Errorf("%s is outside without a reason", n)
		}
	}
}

func TestObservedSaysAnAddressOnce(t *testing.T) {
	f := New(ConnectRefused, "endpoint", "127.0.0.1:1", "address", "127.0.0.1:1")
	if got, want := f.Observed(), "the connect to 127.0.0.1:1 was refused"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	f = New(ConnectRefused, "endpoint", "app:1", "address", "127.0.0.1:1")
	if got, want := f.Observed(), "the connect to 127.0.0.1:1 (app:1) was refused"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
