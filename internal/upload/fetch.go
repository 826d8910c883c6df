package upload

import (
	"context"
	"errors"
	"io"
	"net/url"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
)

// errStopped ends a download whose file is not wanted any more.
var errStopped = errors.New("upload: stopped")

// SaveURL keeps the file behind a public http or https URL. folder is as in Save.
//
// Errors as of Save; whatever keeps the URL from being fetched is one ErrInvalid without
// details, so that answers do not map what can be reached from here.
func (s *Service) SaveURL(ctx context.Context, organisationID, folder, rawURL string) (*kinora.Upload, error) {
	if _, err := folderOf(folder, s.cfg.Now()); err != nil {
		return nil, err // before anything is fetched
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errURL(nil) // url.Parse quotes the URL, which may be signed
	}
	fetchCtx, cancel := context.WithTimeout(ctx, s.cfg.FetchTimeout)
	defer cancel()
	file, pipe := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := s.cfg.Fetch.Download(fetchCtx, rawURL, s.MaxSize(), pipe)
		if err != nil {
			err = fetchError(ctx, err)
		}
		pipe.CloseWithError(err) // nil: the end
	}()
	saved, err := s.Save(ctx, organisationID, nameInURL(u.Path), folder, file, nil)
	file.CloseWithError(errStopped)
	cancel()
	<-done
	return saved, err
}

func fetchError(ctx context.Context, err error) error {
	var tooLarge *netguard.TooLargeError
	var proxy *netguard.ProxyError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &tooLarge):
		return errTooLarge()
	case errors.As(err, &proxy):
		return &kinora.Error{Code: kinora.ErrUnavailable, Op: "upload by URL", Message: "URLs cannot be fetched now", Err: err,
			Hint: "the operator's network.egress_proxy does not work"}
	}
	return errURL(err)
}
