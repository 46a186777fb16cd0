package looptest

import (
	"runtime"
	"time"

	"github.com/gatewhy/gatewhy/internal/loop"
)

var tasks = []contract{
	{"loops are numbered and share a clock", testLoops},
	{"tasks of a loop never run at the same time", testExclusive},
	{"Go, Current and Done", testGo},
	{"Post from outside and from another loop", testPost},
	{"Do lets the loop run on", testDo},
	{"a thousand tasks wait at once", testThousand},
	{"Close waits for the tasks", testCloseWaits},
	{"Close without anything", func(*rig) {}},
}

func testLoops(r *rig) {
	ls := r.e.Loops()
	for i, l := range ls {
		if l.Index() != i || r.e.Loops()[i] != l {
			r.Errorf("loop %d has index %d, or is another one the second time", i, l.Index())
		}
		if l.Pool() == nil {
			r.Errorf("loop %d has no pool", i)
		}
	}
	var last loop.Time
	for _, l := range ls {
		r.on(l, func() {
			now := l.Now()
			if now <= last {
				r.Errorf("loop %d: it is %d and was %d before", l.Index(), now, last)
			}
			last = now
			r.must(l.Sleep(now + 1000))
			if l.Now() < now+1000 {
				r.Errorf("Sleep ended %d ns too early", now+1000-l.Now())
			}
			if d := time.Since(time.Unix(0, l.Wall())).Abs(); d > time.Minute {
				r.Errorf("the wall clock is wrong by %v", d)
			}
		})
	}
}

// testExclusive is the race detector's as much as ours: n and inside are plain.
func testExclusive(r *rig) {
	const many, turns = 40, 25
	n, inside, done := 0, false, 0
	enter := func() {
		if inside {
			r.Error("two tasks at once")
		}
		inside = true
		n++
		inside = false
	}
	r.run(func() {
		l := r.l
		main := l.Current()
		for range many {
			l.Go(func() {
				for i := range turns {
					enter()
					switch i % 3 {
					case 0:
						l.Sleep(l.Now() + 1000)
					case 1:
						l.Do(func() {})
					case 2:
						l.Current().Wake()
						r.is(l.Park(soon(l)), nil)
					}
					enter()
				}
				if done++; done == many {
					main.Wake()
				}
			})
		}
		r.must(l.Park(soon(l)))
	})
	if n != many*turns*2 {
		r.Errorf("%d, want %d", n, many*turns*2)
	}
}

func testGo(r *rig) {
	r.run(func() {
		l := r.l
		me := l.Current()
		var inner loop.Task
		t := l.Go(func() {
			inner = l.Current()
			me.Wake()
			l.Park(soon(l))
		})
		r.must(l.Park(soon(l)))
		if inner != t {
			r.Error("Current is not what Go returned")
		}
		if l.Current() != me {
			r.Error("Current changed over a wait")
		}
		if t.Done() || me.Done() {
			r.Error("done before the end")
		}
		t.Wake()
		r.join(l, t)
		// To a task that is done nothing can be done.
		t.Wake()
		t.Interrupt()
	})
}

func testPost(r *rig) {
	ls := r.e.Loops()
	count := make(chan int, 2*len(ls))
	for i, l := range ls {
		l.Post(func() {
			count <- i
			next := (i + 1) % len(ls)
			ls[next].Post(func() { count <- next })
		})
	}
	seen := make([]int, len(ls))
	for range 2 * len(ls) {
		seen[<-count]++
	}
	for i, n := range seen {
		if n != 2 {
			r.Errorf("loop %d ran %d tasks, want 2", i, n)
		}
	}
}

func testDo(r *rig) {
	r.run(func() {
		l := r.l
		me := l.Current()
		gate := make(chan struct{})
		t := l.Go(func() { close(gate) }) // runs although Do blocks
		l.Do(func() { <-gate })
		if l.Current() != me {
			r.Error("Current changed over Do")
		}
		r.join(l, t)

		// Do cannot be interrupted: the interrupt is for the wait after it.
		gate = make(chan struct{})
		l.Go(func() {
			me.Interrupt()
			close(gate)
		})
		ran := false
		l.Do(func() {
			<-gate
			ran = true
		})
		if !ran {
			r.Error("Do ended before its function")
		}
		r.is(l.Sleep(soon(l)), loop.ErrInterrupted)
	})
}

func testThousand(r *rig) {
	const many = 1000
	r.run(func() {
		l := r.l
		main := l.Current()
		var order []int
		var ts []loop.Task
		parked := 0
		for i := range many {
			ts = append(ts, l.Go(func() {
				if parked++; parked == many {
					main.Wake()
				}
				r.is(l.Park(soon(l)), nil)
				order = append(order, i)
				main.Wake()
			}))
		}
		r.must(l.Park(soon(l)))
		for i := many - 1; i >= 0; i-- {
			ts[i].Wake()
			r.must(l.Park(soon(l)))
		}
		for k, i := range order {
			if i != many-1-k {
				r.Errorf("task %d came as number %d", i, k)
			}
		}
	})
}

func testCloseWaits(r *rig) {
	var ended bool // written by a task, read after Close: the race detector watches
	task := make(chan loop.Task, 1)
	r.l.Post(func() {
		task <- r.l.Current()
		r.is(r.l.Park(soon(r.l)), loop.ErrInterrupted)
		runtime.Gosched()
		ended = true
	})
	t := <-task
	closed := make(chan struct{})
	go func() { // ends when Close has, which needs the interrupt below
		defer close(closed)
		r.e.Close()
	}()
	select {
	case <-closed:
		r.Error("Close did not wait")
	default:
	}
	r.l.Post(func() { t.Interrupt() })
	<-closed
	if !ended {
		r.Error("Close did not wait for the task's end")
	}
	ran := make(chan struct{}, 1)
	r.l.Post(func() { ran <- struct{}{} })
	select {
	case <-ran:
		r.Error("a task of a closed engine runs")
	default:
	}
}
