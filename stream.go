package kinora

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StreamPlace is a place in a stream of an organisation's events. The zero value is the end of what is there: a stream
// from it has what comes from now on.
type StreamPlace struct {
	Position int64 // the stream goes on behind it; 0 = before the first event
	// Since is when the stream's first events were created: what is older is no part of it, even when it becomes visible
	// late. It stays the same from one place of a stream to the next. To the microsecond.
	Since time.Time
}

// IsZero tells that the stream has not begun.
func (p StreamPlace) IsZero() bool { return p.Since.IsZero() }

// String is the text that readers bring back.
func (p StreamPlace) String() string {
	return strconv.FormatInt(p.Position, 10) + "-" + strconv.FormatInt(p.Since.UnixMicro(), 10)
}

// ParseStreamPlace reads what String has written.
func ParseStreamPlace(text string) (StreamPlace, error) {
	before, after, _ := strings.Cut(text, "-")
	position, err := strconv.ParseUint(before, 10, 63)
	micros, err2 := strconv.ParseUint(after, 10, 63)
	if err = errors.Join(err, err2); err != nil || micros == 0 {
		return StreamPlace{}, errors.Join(errors.New("not a place in a stream"), err)
	}
	return StreamPlace{Position: int64(position), Since: time.UnixMicro(int64(micros)).UTC()}, nil
}

// Streamed is an event as its delivery would be.
type Streamed struct {
	Place  StreamPlace // a stream that begins there goes on with the next event
	Type   EventType
	Header http.Header
	Body   []byte
}

// StreamSink takes a stream. An error of its methods ends it.
type StreamSink struct {
	Begin func(StreamPlace) error // once, before the first event: where the stream can be taken up again
	Event func(Streamed) error
	Idle  func() error // every heartbeat, whether or not events come
}
