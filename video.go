package kinora

import "time"

// Video is a generation that makes a video, as it is listed, read and deleted through /v1/videos.
type Video struct {
	Generation *Generation
	Outputs    []Output  // as a caller may see them; those whose files are still kept
	ExpiresAt  time.Time // when its files are removed, or were; zero = it has none
}

// VideoPage says which of an organisation's videos are listed.
type VideoPage struct {
	After     string // id of the last one of the page before; empty = from the beginning
	Limit     int
	Ascending bool // the oldest first
}
