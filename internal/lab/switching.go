package lab

import "github.com/gatewhy/gatewhy/fault"

// switchingRecipes are WebSocket upgrades that do not work out.
func switchingRecipes() []*Recipe {
	// upgrade accepts rightly and adds what must not be there.
	upgrade := func(name string, want fault.ID, more, why string) *Recipe {
		return refused(name, want, switching("dGhlIHNhbXBsZSBub25jZQ==", more)).asks(webSocket).
			ends(Hang).because(why).does(func(c *Conn) {
			// The key is the gateway's to choose, so the accept value is not data.
			if c.ReadRequest() && c.Write(switching(c.Head.Get("Sec-WebSocket-Key"), more)) {
				c.Stall()
			}
		})
	}
	return []*Recipe{
		like("ws_upgrade_refused", "ws_refused_200", "answers an upgrade with a plain 200"),
		noted("ws_upgrade_refused/403", fault.WSUpgradeRefused, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").
			asks(webSocket).status(403).body("no").because("forbids the upgrade"),
		like("ws_upgrade_eof", "ws_close", "hangs up on an upgrade"),
		like("ws_accept_bad", "ws_bad_accept", "accepts an upgrade with the wrong key"),
		refused("ws_accept_bad/missing", fault.WSAcceptBad,
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").
			asks(webSocket).because("accepts an upgrade without a key"),
		upgrade("ws_subprotocol_unoffered", fault.WSSubprotocolUnoffered, "Sec-WebSocket-Protocol: chat\r\n",
			"picks a subprotocol that was not offered"),
		upgrade("ws_extension_unoffered", fault.WSExtensionUnoffered, "Sec-WebSocket-Extensions: permessage-deflate\r\n",
			"picks an extension that was not offered"),
		upgrade("ws_idle_timeout", fault.WSIdleTimeout, "", "upgrades and then says nothing").
			status(101).lost().set("timeout-idle", soon),
	}
}
