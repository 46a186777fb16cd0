package program

import (
	"fmt"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Checks by grpc.health.v1 find out of a real gRPC server what it says of a service.
func TestGRPCHealth(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, state := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, state)
	go server.Serve(ln) // ends with Stop
	defer server.Stop()
	bare, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	without := grpc.NewServer()
	go without.Serve(bare)
	defer without.Stop()
	state.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_SERVING)
	state.SetServingStatus("shop.Carts", healthpb.HealthCheckResponse_NOT_SERVING)
	for _, engine := range []string{"epoll", "portable"} {
		t.Run(engine, func(t *testing.T) {
			s := serving(t, fmt.Sprintf(`
listen: 127.0.0.1:0
upstreams:
  all: { to: "h2c://%[1]s", health: { grpc: true, every: 100ms, fall: 1 } }
  orders: { to: "h2c://%[1]s", health: { grpc: true, service: shop.Orders, every: 100ms, rise: 1, fall: 1 } }
  carts: { to: "h2c://%[1]s", health: { grpc: true, service: shop.Carts, every: 100ms, fall: 1 } }
  none: { to: "h2c://%[1]s", health: { grpc: true, service: shop.None, every: 100ms, fall: 1 } }
  bare: { to: "h2c://%[2]s", health: { grpc: true, every: 100ms, fall: 1 } }
  http1: { to: "%[3]s", health: { grpc: true, every: 100ms, fall: 1 } }
sites:
  "http://all": all
  "http://orders": orders
  "http://carts": carts
  "http://none": none
  "http://bare": bare
  "http://http1": http1
log: { format: text }
engine: %[4]s
`, ln.Addr(), bare.Addr(), called(t, "x"), engine))
			s.awaitPrinted("of carts is down: the last check failed: service shop.Carts is NOT_SERVING")
			s.awaitPrinted("of none is down: the last check failed: there is no service shop.None (grpc-status 5, NOT_FOUND)")
			s.awaitPrinted("of bare is down: the last check failed: it has no grpc.health.v1.Health (grpc-status 12, UNIMPLEMENTED)")
			s.awaitPrinted("of http1 is down: the last check failed: it speaks no HTTP/2, which gRPC needs")
			state.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_NOT_SERVING)
			s.awaitPrinted("of orders is down: the last check failed: service shop.Orders is NOT_SERVING")
			state.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_SERVING)
			s.awaitPrinted("of orders is up: the last check went well")
			if n := len(s.printed()); n == 0 {
				t.Error("no log")
			}
			s.stop()
		})
	}
}
