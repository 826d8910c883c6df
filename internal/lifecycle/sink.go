package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// during gives a submit call its ways into this house: for outputs that come inside the
// answer, and for the progress of a call that lasts as long as its generation.
func (e *Engine) during(g *kinora.Generation, a *kinora.Attempt, req provider.Request) provider.Request {
	req.Sink = sink{e, g, a}
	told, at := 0, time.Time{}
	req.Progress = func(percent int) {
		percent = min(percent, 99)
		if now := time.Now(); percent > told && now.Sub(at) >= e.timing.Progress {
			told, at = percent, now
			a.Progress = percent
			e.submitProgress(a)
		}
	}
	return req
}

// submitProgress shows how far a submit call is. It is a courtesy, that must not hold up the
// answer which is being read: when the database does not take it soon, it is left.
func (e *Engine) submitProgress(a *kinora.Attempt) {
	ctx, cancel := context.WithTimeout(e.work, e.timing.Beat)
	defer cancel()
	err := e.db.Update(ctx, func(tx *store.Tx) error {
		now := time.Now()
		if err := tx.RaiseAttemptProgress(a); err != nil {
			return err
		}
		if err := tx.StartGeneration(a.GenerationID, now); err != nil {
			return err
		}
		mean, err := tx.MeanProgress(a.GenerationID)
		if err != nil {
			return err
		}
		return tx.RaiseProgress(map[string]int{a.GenerationID: mean}, now)
	})
	if err != nil {
		e.log.Debug("progress was not written", "attempt", a.ID(), "error", err)
	}
}

// sink stores outputs that come inside the answer of an attempt's submit call. Its objects
// have no row until the generation ends well: those of an answer that was lost with this process
// are orphans.
type sink struct {
	e *Engine
	g *kinora.Generation
	a *kinora.Attempt
}

// Keep implements provider.Sink.
func (s sink) Keep(ctx context.Context, i int, r io.Reader) (provider.Output, error) {
	kept, err := s.e.storeOutput(ctx, s.g, s.a, i, &bounded{r: r, limit: s.e.cfg.MaxOutput, moved: func() {}})
	var ours storageError
	if errors.As(err, &ours) {
		s.e.log.Error("an output that came with its answer could not be stored", "attempt", s.a.ID(), "error", err)
		err = &provider.Error{Class: provider.OutcomeUnknown, Message: "the output could not be stored", Err: err}
	}
	if err != nil {
		return provider.Output{}, err
	}
	return provider.Output{Kind: kept.kind, Kept: &kept.Kept}, nil
}

// keptOutput is an output in our storage.
type keptOutput struct {
	provider.Kept
	kind kinora.Kind
}

// storeOutput streams an output into storage. The key depends on the attempt and the ordinal only,
// so that a repeated copy replaces its forerunner.
func (e *Engine) storeOutput(ctx context.Context, g *kinora.Generation, a *kinora.Attempt, ordinal int, source *bounded) (*keptOutput, error) {
	stream := media.NewSniffer(source)
	typ, err := stream.Type()
	if err != nil {
		return nil, fmt.Errorf("read output: %w", err)
	}
	if typ.Kind() == media.KindOther {
		return nil, provider.Errorf(provider.Generation, "the output is neither an image nor a video")
	}
	key := fmt.Sprintf("outputs/%s/%s-%d%s", g.CreatedAt.UTC().Format("2006/01/02"), a.ID(), ordinal, typ.Extension())
	if _, err := e.cfg.Blob.Put(ctx, key, stream, blob.PutOptions{ContentType: typ.ContentType()}); err != nil {
		if source.err != nil {
			return nil, fmt.Errorf("read output: %w", source.err)
		}
		return nil, storageError{err}
	}
	e.metrics.collectedBytes.WithLabelValues(a.Provider).Add(float64(stream.Size()))
	return &keptOutput{
		Kept: provider.Kept{Key: key, ContentType: typ.ContentType(), Bytes: stream.Size(), SHA256: stream.SHA256()},
		kind: kinora.Kind(typ.Kind()),
	}, nil
}
