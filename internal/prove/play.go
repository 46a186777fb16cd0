package prove

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// authority is what requests ask for. It has as many bytes as %HOST% in a
// recipe, so that a recipe's offsets hold.
const authority = "a.test"

// played is what came of one play: what the client got, and what the gateway
// says of it.
type played struct {
	answer *answer
	trail  *trail.Trail
	at     int // where in the request planted stands; -1 if it does not
	beside []*played
	goaway string // the error with which an HTTP/2 connection ended
}

// limit bounds one play. The slowest recipes wait for the gateway to look
// whether its client is still there, which it does each second.
const limit = 15 * time.Second

// pause is between the pieces of a request that must not arrive together.
const pause = 20 * time.Millisecond

// secret is planted into requests. It must be in no evidence, page or log.
const secret = "Zm9yYmlkZGVuLWZydWl0"

// planted are the field lines that carry the secret: the usual ways in which
// requests do.
const planted = "Authorization: Basic " + secret + "\r\nCookie: theme=dark; session=" + secret + "\r\n"

// plant puts the secret behind the first Host line of a request, if it has one.
func plant(request string) (with string, at int) {
	const host = "\r\nHost: %HOST%\r\n"
	i := strings.Index(request, host)
	if i < 0 {
		return request, -1
	}
	i += len(host)
	return request[:i] + planted + request[i:], i
}

// play starts the recipe with a gateway and lets a client do its part.
func play(ctx context.Context, r *lab.Recipe, engine func() loop.Engine, rescue bool) (*played, *stage, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := setUp(ctx, r, engine, rescue)
	if err != nil {
		return nil, s, err
	}
	defer s.tearDown()
	p, err := s.play(ctx)
	return p, s, err
}

func (s *stage) play(ctx context.Context) (*played, error) {
	for range s.recipe.Hold {
		// A connection that has been answered counts for certain, and then is silent.
		c, err := s.dial(ctx)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if _, err := s.plainGET(ctx, c, bufio.NewReader(c)); err != nil {
			return nil, fmt.Errorf("the client that holds a connection: %w", err)
		}
	}
	if err := s.trip(ctx); err != nil {
		return nil, err
	}
	for i := range s.recipe.Busy {
		c, err := s.dial(ctx)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET "+lab.BesidePath+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"); err != nil {
			return nil, err
		}
		if err := s.awaitBusy(ctx, i+1); err != nil {
			return nil, fmt.Errorf("a request that keeps the endpoint busy comes neither to it nor into the queue: %w", err)
		}
	}
	if s.recipe.Frames != "" {
		return s.playFrames(ctx)
	}
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if s.recipe.SNI != "" {
		return s.askTLS(ctx, c)
	}
	in := bufio.NewReaderSize(c, 64<<10)
	if s.recipe.Warm {
		if _, err := s.plainGET(ctx, c, in); err != nil {
			return nil, fmt.Errorf("the request that makes a pooled connection: %w", err)
		}
		if err := s.origins[0].Arm(ctx); err != nil {
			return nil, fmt.Errorf("the origin does not get ready: %w", err)
		}
	}
	if s.recipe.Beside == 0 {
		return s.ask(ctx, c, in)
	}
	var others []*played
	var running sync.WaitGroup
	defer running.Wait()
	for i := range s.recipe.Beside {
		other, err := s.dial(ctx)
		if err != nil {
			return nil, err
		}
		defer other.Close()
		p := &played{at: -1}
		others = append(others, p)
		if _, err := io.WriteString(other, "GET "+lab.BesidePath+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"); err != nil {
			return nil, err
		}
		running.Go(func() { p.answer = readAnswer(bufio.NewReader(other), false) }) // ends with other
		if err := s.origins[0].AwaitHits(ctx, int64(2+i)); err != nil {
			return nil, fmt.Errorf("a request beside does not come to the origin: %w", err)
		}
	}
	p, err := s.ask(ctx, c, in)
	if err != nil {
		return p, err
	}
	running.Wait()
	p.beside = others
	for _, o := range others {
		if o.trail, err = s.trail(ctx, true); err != nil {
			return p, err
		}
	}
	return p, nil
}

// trip sends the requests of Recipe.Tripped.
func (s *stage) trip(ctx context.Context) error {
	for range s.recipe.Tripped {
		c, err := s.dial(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET "+lab.BesidePath+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"); err != nil {
			return err
		}
		if t, err := s.trail(ctx, true); err != nil || t.Fault == nil {
			return fmt.Errorf("a request that is to fail does not: %v", err)
		}
	}
	return nil
}

// awaitBusy waits until n requests are at the origin or in the gateway's queue.
func (s *stage) awaitBusy(ctx context.Context, n int) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for s.origins[0].Hits()+int64(s.gateway.Upstream().Queued()) < int64(n) {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *stage) dial(ctx context.Context) (*net.TCPConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("the gateway does not accept: %w", err)
	}
	end, _ := ctx.Deadline()
	if err := c.SetDeadline(end); err != nil {
		c.Close()
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// plainGET asks for a good answer, and waits for its trail as well: from then
// on the exchange is over for the gateway too.
func (s *stage) plainGET(ctx context.Context, c net.Conn, in *bufio.Reader) (*answer, error) {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+authority+"\r\n\r\n"); err != nil {
		return nil, err
	}
	a := readAnswer(in, false)
	if a.status != 200 || !a.whole {
		return a, fmt.Errorf("got %v", a)
	}
	_, err := s.trail(ctx, false)
	return a, err
}

// trail waits for the trail of the next exchange that ends, of the recipe's own
// requests or of those beside.
func (s *stage) trail(ctx context.Context, beside bool) (*trail.Trail, error) {
	for i, t := range s.kept {
		if isBeside(t) == beside {
			s.kept = slices.Delete(s.kept, i, i+1)
			return t, nil
		}
	}
	for {
		select {
		case t := <-s.trails:
			if isBeside(t) == beside {
				return t, nil
			}
			s.kept = append(s.kept, t)
		case <-ctx.Done():
			return nil, fmt.Errorf("the exchange does not end: %w", ctx.Err())
		}
	}
}

func isBeside(t *trail.Trail) bool { return string(t.Path) == lab.BesidePath }

// ask sends the recipe's request, does what its client does then, and reads the
// answer.
func (s *stage) ask(ctx context.Context, c *net.TCPConn, in *bufio.Reader) (*played, error) {
	r := s.recipe
	request := r.Request
	if request == "" {
		request = "GET / HTTP/1.1\r\nHost: %HOST%\r\n\r\n"
	}
	p := &played{at: -1}
	if len(r.Pieces) == 0 {
		request, p.at = plant(request)
	}
	// What is uploaded goes out beside the reading: an answer may come early, and
	// a request that is not taken must not keep it from being read.
	sent := make(chan struct{})
	go func() { // ends when all is written, or when c is closed or its deadline comes
		defer close(sent)
		s.send(ctx, c, request)
	}()
	defer func() { c.Close(); <-sent }()

	var err error
	switch r.Client {
	case lab.Close, lab.Reset:
		if err := s.origins[0].AwaitHit(ctx); err != nil {
			return nil, fmt.Errorf("the request does not come to the origin: %w", err)
		}
		if r.Client == lab.Reset {
			c.SetLinger(0)
		}
		c.Close()
		p.answer = &answer{cut: net.ErrClosed}
		p.trail, err = s.trail(ctx, false)
		return p, err
	case lab.Stall:
		if err := s.origins[0].AwaitEnd(ctx); err != nil {
			return nil, fmt.Errorf("the origin's connection does not end: %w", err)
		}
	}
	p.answer = readAnswer(in, strings.HasPrefix(request, "HEAD "))
	if p.answer.status == 101 {
		// Only its end ends a tunnel: ours, where the upstream is good.
		if r.Fault() != fault.WSIdleTimeout {
			c.CloseWrite()
		}
		io.Copy(io.Discard, in)
	}
	p.trail, err = s.trail(ctx, false)
	return p, err
}

// askTLS sends the recipe's request by a connection whose handshake asks for SNI.
func (s *stage) askTLS(ctx context.Context, plain net.Conn) (*played, error) {
	// Who answers is not the point: the certificate is made for the play.
	c := tls.Client(plain, &tls.Config{ServerName: s.recipe.SNI, InsecureSkipVerify: true})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("the gateway speaks no TLS: %w", err)
	}
	request, at := plant(s.recipe.Request)
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "%HOST%", authority)); err != nil {
		return nil, err
	}
	p := &played{at: at, answer: readAnswer(bufio.NewReader(c), false)}
	var err error
	p.trail, err = s.trail(ctx, false)
	return p, err
}

// send writes the request. Errors are the answer's business: a gateway may end
// the connection at any time, and what it said before is what counts.
func (s *stage) send(ctx context.Context, c *net.TCPConn, request string) {
	r := s.recipe
	fill := strings.NewReplacer("%HOST%", authority, "%UPLOAD%", strconv.FormatInt(r.Upload, 10))
	pieces := r.Pieces
	if len(pieces) == 0 {
		pieces = []string{request}
	}
	for i, piece := range pieces {
		if i > 0 {
			t := time.NewTimer(pause)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
		}
		if _, err := io.WriteString(c, fill.Replace(piece)); err != nil {
			return
		}
	}
	if _, err := io.CopyN(c, zeros{}, r.Upload); err != nil {
		return
	}
	if r.Client == lab.CloseWrite {
		c.CloseWrite()
	}
}

// zeros is an endless upload.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
