//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

// ring is a timer that tells a list when it fired.
type ring struct {
	timer
	id    int
	rings *[]int
}

func (r *ring) expired(Time) { *r.rings = append(*r.rings, r.id) }

// FuzzTimers plays random operations on the heap and on a plain table: both must
// fire the same timers at the same times.
func FuzzTimers(f *testing.F) {
	f.Add([]byte{0, 1, 9, 0, 2, 3, 0, 3, 200, 2, 0, 5, 1, 3, 0, 0, 1, 2, 2, 0, 255})
	f.Add([]byte{0, 1, 1, 0, 2, 1, 0, 3, 1, 0, 4, 1, 0, 5, 1, 0, 6, 1, 1, 2, 0, 2, 0, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const many = 32
		var h timers
		var fired []int
		rings := make([]ring, many)
		for i := range rings {
			rings[i].id, rings[i].rings, rings[i].owner = i, &fired, &rings[i]
		}
		model := map[int]Time{}
		now := Time(1)
		for ; len(ops) >= 3; ops = ops[3:] {
			id, d := int(ops[1])%many, Time(ops[2])
			switch ops[0] % 3 {
			case 0:
				h.arm(&rings[id].timer, now+d)
				model[id] = now + d
			case 1:
				h.disarm(&rings[id].timer)
				delete(model, id)
			case 2:
				now += d
				fired = fired[:0]
				h.fire(now)
				var want []int
				for id, at := range model {
					if at <= now {
						want = append(want, id)
					}
				}
				last := Time(0)
				for _, id := range fired {
					if model[id] < last {
						t.Fatalf("%d fired after one that is due at %d", model[id], last)
					}
					last = model[id]
					delete(model, id)
				}
				slices.Sort(want)
				slices.Sort(fired)
				if !slices.Equal(fired, want) {
					t.Fatalf("at %d %v fired, want %v", now, fired, want)
				}
			}
			next := Never
			for _, at := range model {
				next = min(next, at)
			}
			if h.next() != next {
				t.Fatalf("the next one is at %d, want %d", h.next(), next)
			}
			for i := range rings {
				if at, armed := model[i]; armed != (rings[i].pos != 0) || armed && h.heap[rings[i].pos-1] != (moment{at, &rings[i].timer}) {
					t.Fatalf("timer %d is not where it says", i)
				}
			}
		}
	})
}

// BenchmarkTimers moves one of a million timers: what a wait costs whose deadline
// is earlier than all that its task had before.
func BenchmarkTimers(b *testing.B) {
	var h timers
	var fired []int
	rings := make([]ring, 1_000_000)
	for i := range rings {
		rings[i].rings, rings[i].owner = &fired, &rings[i]
		h.arm(&rings[i].timer, Time(1+rand.Int64N(60e9)))
	}
	for b.Loop() {
		h.arm(&rings[rand.IntN(len(rings))].timer, Time(1+rand.Int64N(60e9)))
	}
}

// Rounds counts how often a loop of the epoll engine came back from the kernel.
func Rounds(l Loop) int64 { return l.(*eloop).rounds.Load() }

// Connections counts the accepted streams of a loop of the epoll engine.
func Connections(l Loop) int64 { return l.(*eloop).connections.Load() }

// Coroutines counts those that a loop keeps without a task. Must be called from a
// task.
func Coroutines(l Loop) int { return len(l.(*eloop).idle) }

// Beginners bounds the rests that end in tasks in one round.
const Beginners = beginners

// KeepIdle bounds them.
const KeepIdle = keepIdle

// Descriptor, Place and Readable are what the engine knows of a stream.
func Descriptor(s Stream) int { return int(s.(*esock).fd) }
func Place(s Stream) int32    { return s.(*esock).slot }
func Readable(s Stream) bool  { return s.(*esock).readable }

// SelfConnect connects a socket to itself and says what Dial makes of it.
func SelfConnect(l Loop) error {
	el := l.(*eloop)
	fd, errno := socket(syscall.AF_INET)
	if errno != 0 {
		return errno
	}
	if err := syscall.Bind(int(fd), &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	self := localAddress(fd)
	err := syscall.Connect(int(fd), &syscall.SockaddrInet4{Addr: self.IP.Addr().As4(), Port: int(self.IP.Port())})
	if err != nil && err != syscall.EINPROGRESS {
		return err
	}
	s, errno := newEsock(el, fd, self, true)
	if errno != 0 {
		return errno
	}
	defer s.close()
	return s.connect(el.task(), Never)
}

// Pipes counts those that a loop keeps, and those in use. Must be called from a
// task.
func Pipes(l Loop) (kept, used int) { el := l.(*eloop); return len(el.pipes), el.piping }

// Armed counts the timers of a loop. Must be called from a task.
func Armed(l Loop) int { return len(l.(*eloop).wheel.heap) }
