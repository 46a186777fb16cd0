package prove

import (
	"testing"

	"github.com/gatewhy/gatewhy/internal/lab"
)

// illH2 are those of ill that speak HTTP/2. Each says whether its connection ends
// with requests on it of which nobody can know that they were not read.
var illH2 = map[string]bool{
	"h2_preface_bad": false, "h2_got_http1": false, "h2_settings_timeout": false, "h2_settings_invalid": false,
	"h2_settings_invalid/ack": true, "h2_frame_size/ping": true, "h2_padding/headers": true,
	"h2_stream_id_invalid": true, "h2_window_update_bad": false, "h2_window_update_bad/connection": true,
	"h2_hpack_error": true, "h2_continuation_abuse": true, "h2_push_unexpected": true, "h2_control_flood": true,
	"h2_status_missing": false, "h2_field_uppercase": false, "h2_content_length_mismatch": false,
	"h2_data_before_headers": false, "h2_end_stream_no_final": false, "h2_trailers_bad/status": false,
	"h2_rst_refused": false, "h2_rst_refused/once": false, "h2_rst_cancel": false, "h2_rst_cancel/body": false,
	"h2_rst_internal": false, "h2_rst_enhance_calm": false, "h2_rst_http11_required": false, "h2_rst_other/no-error": false,
	"h2_goaway_no_error": true, "h2_goaway_above_last": false, "h2_goaway_error": true,
	"h2_conn_lost": true, "h2_conn_lost/rst": true, "h2_conn_lost/body": true, "h2_streams_exhausted": false,
}

// hangUp are moods whose connections end so.
var hangUp = map[string]bool{"mood/ends each connection with an error at its sixth request": true,
	"mood/hangs up at each seventh request": true}

// TestStormH2 is TestStorm with upstreams that speak HTTP/2: requests of several
// clients share a connection, and what ends it or one of its streams must lose none
// of the others.
func TestStormH2(t *testing.T) {
	play := func(r *lab.Recipe, unread bool) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			o, err := r.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			storm(t, o.Target, o, unread, lab.GoodH2)
		})
	}
	for name, unread := range illH2 {
		r := lab.Find(name)
		if r == nil {
			t.Fatalf("the lab has no recipe %s", name)
		}
		play(r, unread)
	}
	for _, r := range lab.MoodsH2() {
		play(r, hangUp[r.Name])
	}
}
