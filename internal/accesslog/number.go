package accesslog

import "strconv"

// appendInt writes n in decimal.
func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// appendMillis writes ns nanoseconds as milliseconds, rounded to microseconds:
// 31.2, 0.004, 0.
func appendMillis(dst []byte, ns int64) []byte {
	us := (ns + 500) / 1000
	dst = appendInt(dst, us/1000)
	frac := us % 1000
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+frac/100))
	if frac %= 100; frac > 0 {
		dst = append(dst, byte('0'+frac/10))
		if frac %= 10; frac > 0 {
			dst = append(dst, byte('0'+frac))
		}
	}
	return dst
}

// appendTime writes a wall clock time in nanoseconds since 1970 as RFC 3339 in
// UTC with milliseconds.
//
// It works from the number alone. A cache of the current second would belong to
// a loop and save a few nanoseconds of 100.
func appendTime(dst []byte, ns int64) []byte {
	secs, nanos := floorDiv(ns, 1e9)
	days, sec := floorDiv(secs, 86400)
	year, month, day := civil(days)
	b := [len("2006-01-02T15:04:05.000Z")]byte{4: '-', 7: '-', 10: 'T', 23: 'Z'}
	put2(b[0:], year/100)
	put2(b[2:], year%100)
	put2(b[5:], month)
	put2(b[8:], day)
	putClock(b[11:], sec, nanos)
	return append(dst, b[:]...)
}

// appendClock writes the time of day in UTC: hh:mm:ss.mmm.
func appendClock(dst []byte, ns int64) []byte {
	secs, nanos := floorDiv(ns, 1e9)
	_, sec := floorDiv(secs, 86400)
	var b [len("15:04:05.000")]byte
	putClock(b[:], sec, nanos)
	return append(dst, b[:]...)
}

func putClock(b []byte, sec, nanos int64) {
	milli := nanos / 1e6
	put2(b[0:], sec/3600)
	b[2] = ':'
	put2(b[3:], sec/60%60)
	b[5] = ':'
	put2(b[6:], sec%60)
	b[8] = '.'
	b[9] = byte('0' + milli/100)
	put2(b[10:], milli%100)
}

// civil turns days since 1970-01-01 into a date of the Gregorian calendar. It
// counts in 400-year eras whose years begin in March, so that the leap day is
// the last of its year.
func civil(days int64) (year, month, day int64) {
	const eraDays = 146097 // of 400 years
	era, d := floorDiv(days+719468, eraDays)
	y := (d - d/1460 + d/36524 - d/146096) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153
	day = d - (153*m+2)/5 + 1
	month = m + 3
	year = y + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// floorDiv divides towards minus infinity; the remainder is never negative.
func floorDiv(a, b int64) (quotient, remainder int64) {
	quotient, remainder = a/b, a%b
	if remainder < 0 {
		quotient--
		remainder += b
	}
	return quotient, remainder
}

func put2(b []byte, n int64) {
	b[0], b[1] = byte('0'+n/10), byte('0'+n%10)
}
