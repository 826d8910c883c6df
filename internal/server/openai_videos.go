package server

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/id"
)

// Videos reads and deletes what makes videos, whichever API it came by.
type Videos interface {
	// Video reads one. Errors: kinora.ErrNotFound, also for what is no video, is another organisation's or was deleted;
	// kinora.ErrUnavailable.
	Video(ctx context.Context, organisationID, id string) (*kinora.Video, error)
	// Videos lists them by age; more tells whether others follow. Errors: kinora.ErrNotFound when page.After is none of
	// them; kinora.ErrUnavailable.
	Videos(ctx context.Context, organisationID string, page kinora.VideoPage) (list []*kinora.Video, more bool, err error)
	// DeleteVideo removes one's files and takes it out of the list, and cancels it before where it goes on. Errors as for
	// Video.
	DeleteVideo(ctx context.Context, organisationID, id string) error
}

const (
	videosPath        = "/v1/videos"
	defaultVideosPage = 20
	maxVideosPage     = 100
)

// The Videos API (contract upstream-openai, section 2).
func (s *Server) videoRoutes() []route {
	if s.cfg.Videos == nil {
		return nil
	}
	const one = videosPath + "/{video_id}"
	read := func(pattern string, load workload, h handlerFunc) route {
		return route{method: http.MethodGet, pattern: pattern, dialect: &openaiDialect, auth: keyed, limit: limitStatus, load: load, handler: h}
	}
	return []route{
		{method: http.MethodPost, pattern: videosPath, dialect: &openaiDialect, auth: keyed, limit: limitSubmit, load: holding, handler: s.createVideo},
		read(videosPath, ordinary, s.listVideos),
		read(one, ordinary, s.readVideo),
		read(one+"/content", transfer, s.videoContent),
		{method: http.MethodDelete, pattern: one, dialect: &openaiDialect, auth: keyed, limit: limitSubmit, handler: s.deleteVideo},
	}
}

// videoRecord is a video as OpenAI shows one (contract, section 2). What is not known is null.
type videoRecord struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Model       string       `json:"model"`
	Status      string       `json:"status"`
	Progress    int          `json:"progress"` // percent
	CreatedAt   int64        `json:"created_at"`
	CompletedAt *int64       `json:"completed_at"`
	ExpiresAt   *int64       `json:"expires_at"` // when its content is removed
	Prompt      string       `json:"prompt"`
	Seconds     *string      `json:"seconds"`
	Size        *string      `json:"size"`
	RemixedFrom *string      `json:"remixed_from_video_id"` // null: there are no remixes here
	Error       *openaiFault `json:"error"`
}

func videoRecordOf(v *kinora.Video) videoRecord {
	g := v.Generation
	record := videoRecord{
		ID: g.ID, Object: objectVideo, Model: g.Model, Status: openaiWord(g.State), Progress: g.Progress,
		CreatedAt: g.CreatedAt.Unix(), Prompt: g.Input.Prompt, Error: openaiFaultOf(g),
	}
	length, size := g.Input.Duration, g.Input.Size
	if g.State == kinora.GenerationSucceeded {
		record.CompletedAt, record.ExpiresAt = unixTime(g.CompletedAt), unixTime(v.ExpiresAt)
		if o := mainVideo(v.Outputs); o != nil {
			if length == 0 {
				length = int(math.Round(o.Duration.Seconds()))
			}
			if size == "" && o.Width > 0 {
				size = fmt.Sprintf("%dx%d", o.Width, o.Height)
			}
		}
	}
	if length > 0 {
		text := strconv.Itoa(length)
		record.Seconds = &text
	}
	if size != "" {
		record.Size = &size
	}
	return record
}

// mainVideo is the one of the outputs that is the video; nil when its file is kept no more.
func mainVideo(outputs []kinora.Output) *kinora.Output {
	for i := range outputs {
		if o := &outputs[i]; o.Kind == kinora.KindVideo && o.RemovedAt.IsZero() {
			return o
		}
	}
	return nil
}

// createVideo accepts a video and answers at once.
func (s *Server) createVideo(ctx context.Context, x *exchange, r *http.Request) error {
	q, err := s.readOpenAI(ctx, x, r, kinora.KindVideo, fieldReference)
	if err != nil {
		return err
	}
	g, err := s.acceptOpenAI(ctx, x, r, q)
	if err != nil {
		return err
	}
	s.tellPace(x, g)
	defer s.noteIfGone(ctx, x, r, q, g)
	writeJSON(x, http.StatusOK, videoRecordOf(&kinora.Video{Generation: g}))
	return nil
}

// video reads the video that the path names.
func (s *Server) video(ctx context.Context, x *exchange, r *http.Request) (*kinora.Video, error) {
	videoID := r.PathValue("video_id")
	if !isGeneration(videoID) {
		return nil, videoNotFound()
	}
	v, err := s.cfg.Videos.Video(ctx, x.organisation.ID, videoID)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return nil, videoNotFound()
	}
	return v, err
}

func videoNotFound() error { return refuse(kinora.ErrNotFound, "video not found") }

func isGeneration(text string) bool {
	return id.WellFormed(text, id.Task) || id.WellFormed(text, id.Job)
}

func (s *Server) readVideo(ctx context.Context, x *exchange, r *http.Request) error {
	v, err := s.video(ctx, x, r)
	if err != nil {
		return err
	}
	s.tellPace(x, v.Generation)
	writeJSON(x, http.StatusOK, videoRecordOf(v))
	return nil
}

type videoList struct {
	Object  string        `json:"object"`
	Data    []videoRecord `json:"data"`
	FirstID *string       `json:"first_id"`
	LastID  *string       `json:"last_id"`
	HasMore bool          `json:"has_more"`
}

func (s *Server) listVideos(ctx context.Context, x *exchange, r *http.Request) error {
	query := r.URL.Query()
	page := kinora.VideoPage{After: query.Get("after"), Limit: defaultVideosPage}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxVideosPage {
			return refuseParam("limit", "must be a whole number from 1 to "+strconv.Itoa(maxVideosPage))
		}
		page.Limit = n
	}
	switch query.Get("order") {
	case "", "desc":
	case "asc":
		page.Ascending = true
	default:
		return refuseParam("order", "must be asc or desc")
	}
	noSuch := refuseParam("after", "is not the id of a video")
	if page.After != "" && !isGeneration(page.After) {
		return noSuch
	}
	videos, more, err := s.cfg.Videos.Videos(ctx, x.organisation.ID, page)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return noSuch
	}
	if err != nil {
		return err
	}
	list := videoList{Object: "list", Data: make([]videoRecord, 0, len(videos)), HasMore: more}
	for _, v := range videos {
		list.Data = append(list.Data, videoRecordOf(v))
	}
	if n := len(list.Data); n > 0 {
		list.FirstID, list.LastID = &list.Data[0].ID, &list.Data[n-1].ID
	}
	writeJSON(x, http.StatusOK, list)
	return nil
}

type videoDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

func (s *Server) deleteVideo(ctx context.Context, x *exchange, r *http.Request) error {
	videoID := r.PathValue("video_id")
	if !isGeneration(videoID) {
		return videoNotFound()
	}
	err := s.cfg.Videos.DeleteVideo(ctx, x.organisation.ID, videoID)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return videoNotFound()
	}
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, videoDeleted{ID: videoID, Object: "video.deleted", Deleted: true})
	return nil
}

// videoContent streams the video from storage, whole or in ranges.
func (s *Server) videoContent(ctx context.Context, x *exchange, r *http.Request) error {
	if v := r.URL.Query().Get("variant"); v != "" && v != "video" {
		return refuseParam("variant", "must be video: thumbnails and spritesheets are not made here")
	}
	work, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	v, err := s.video(work, x, r)
	if err != nil {
		return err
	}
	if state := v.Generation.State; state != kinora.GenerationSucceeded {
		s.tellPace(x, v.Generation)
		return refuse(kinora.ErrInvalid, "the video has no content: its status is %s", openaiWord(state))
	}
	o := mainVideo(v.Outputs)
	if o == nil {
		return refuse(kinora.ErrNotFound, "the video's content has expired")
	}
	object, err := s.openFile(ctx, o.BlobKey)
	if err != nil {
		return err
	}
	defer object.Close()
	return serveFile(x, r, object, blob.ServeOptions{
		ContentType: o.ContentType, SHA256: o.SHA256, MaxAge: fileMaxAge, Expires: v.ExpiresAt, Now: s.now()})
}
