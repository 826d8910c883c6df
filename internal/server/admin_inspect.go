package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// maxAttemptLog is how many of a delivery's attempts are shown: the newest.
const maxAttemptLog = 100

// adminGeneration shows a generation with its attempts and all that they made: whichever organisation's it is, and what callers do not see.
func (s *Server) adminGeneration(ctx context.Context, x *exchange, r *http.Request) error {
	generationID, err := generationOf(r)
	if err != nil {
		return err
	}
	h, err := s.cfg.Admin.History(ctx, generationID)
	if err != nil {
		return err
	}
	origin, err := s.cfg.Admin.Origin(ctx, h.Generation)
	if err != nil {
		return err
	}
	view := viewGeneration(h, origin)
	for i, o := range h.Outputs {
		switch v := &view.Outputs[i]; {
		case o.BlobKey == "" || !o.RemovedAt.IsZero():
		case o.Kind == kinora.KindImage:
			v.URL, v.PreviewURL = s.fileURLs(o.BlobKey, o.Width, o.Height)
		default:
			v.URL, _ = s.fileURLs(o.BlobKey, 0, 0)
		}
	}
	writeJSON(x, http.StatusOK, view)
	return nil
}

// adminDeliveries shows the deliveries of a generation's event, with their attempts.
func (s *Server) adminDeliveries(ctx context.Context, x *exchange, r *http.Request) error {
	generationID, err := generationOf(r)
	if err != nil {
		return err
	}
	if _, _, err := s.cfg.Admin.Generation(ctx, generationID); err != nil {
		return err // a generation that is not there has not merely no deliveries
	}
	list, err := s.cfg.Admin.Deliveries(ctx, generationID)
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	answer := deliveryList{Deliveries: make([]deliveryView, len(shown)), Truncated: truncated}
	for i, d := range shown {
		attempts, err := s.cfg.Admin.DeliveryAttempts(ctx, d.ID)
		if err != nil {
			return err
		}
		if n := len(attempts); n > maxAttemptLog {
			attempts = attempts[n-maxAttemptLog:]
		}
		answer.Deliveries[i] = viewDelivery(d, attempts)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func generationOf(r *http.Request) (string, error) {
	generationID := r.PathValue("generation_id")
	if !id.WellFormed(generationID, id.Job) && !id.WellFormed(generationID, id.Task) {
		return "", generationNotFound()
	}
	return generationID, nil
}
