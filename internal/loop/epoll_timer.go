//go:build linux && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package loop

// timer calls expired when its moment has come. It belongs to one loop.
type timer struct {
	owner interface{ expired(now Time) }
	at    Time
	pos   int // in the heap, from 1 on; 0 means that it is not armed
}

// timers is a heap whose nodes have four children: half as deep as a binary one,
// and the children of a node lie in one cache line of moments. A wait seldom
// touches it, see task.arm, so a timer wheel would gain nothing but coarser time.
type timers struct{ heap []moment }

// moment keeps the time beside the pointer: comparing follows no pointers.
type moment struct {
	at Time
	t  *timer
}

const children = 4

// next is when the first timer fires; Never if there is none.
func (h *timers) next() Time {
	if len(h.heap) == 0 {
		return Never
	}
	return h.heap[0].at
}

// arm sets t to fire at the given time, whether or not it was armed.
func (h *timers) arm(t *timer, at Time) {
	t.at = at
	if t.pos == 0 {
		h.heap = append(h.heap, moment{at, t})
		h.up(len(h.heap) - 1)
		return
	}
	i := t.pos - 1
	h.heap[i].at = at
	h.down(h.up(i))
}

func (h *timers) disarm(t *timer) {
	if t.pos == 0 {
		return
	}
	i, last := t.pos-1, len(h.heap)-1
	t.pos = 0
	m := h.heap[last]
	h.heap[last] = moment{}
	h.heap = h.heap[:last]
	if i < last {
		h.heap[i] = m
		h.down(h.up(i))
	}
}

// fire disarms and calls all whose time has come.
func (h *timers) fire(now Time) {
	for len(h.heap) > 0 && h.heap[0].at <= now {
		t := h.heap[0].t
		h.disarm(t)
		t.owner.expired(now)
	}
}

// up and down bring the moment at i to where it belongs and return where that is.
func (h *timers) up(i int) int {
	m := h.heap[i]
	for i > 0 {
		parent := (i - 1) / children
		if h.heap[parent].at <= m.at {
			break
		}
		h.put(i, h.heap[parent])
		i = parent
	}
	h.put(i, m)
	return i
}

func (h *timers) down(i int) int {
	m := h.heap[i]
	for {
		first := i*children + 1
		if first >= len(h.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+children, len(h.heap)); c++ {
			if h.heap[c].at < h.heap[least].at {
				least = c
			}
		}
		if h.heap[least].at >= m.at {
			break
		}
		h.put(i, h.heap[least])
		i = least
	}
	h.put(i, m)
	return i
}

func (h *timers) put(i int, m moment) {
	h.heap[i] = m
	m.t.pos = i + 1
}
