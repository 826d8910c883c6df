package server

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Workflows turns what callers of the generations API choose into what is generated.
type Workflows interface {
	// Submission returns what a request stands for: all but its source and what is only echoed. source is nil while it is
	// not known.
	//
	// Errors: kinora.ErrInvalid with every broken rule in its details.
	Submission(req kinora.WorkflowRequest, source *kinora.SourceAsset) (*kinora.Submission, error)
}

// createGeneration accepts a generation of a workflow (contract, section 5), from a JSON document or from a form with the
// source as its file.
func (s *Server) createGeneration(ctx context.Context, x *exchange, r *http.Request) error {
	key, err := requiredIdempotencyKey(r.Header)
	if err != nil {
		return err
	}
	boundary, isForm, err := bodyKind(r.Header)
	if err != nil {
		return err
	}
	if isForm {
		return s.createFromForm(ctx, x, r, key, boundary)
	}
	doc, err := s.readJSON(x, r)
	if err != nil {
		return err
	}
	accepted, err := s.create(ctx, x, doc, idempotencyOf(r, key, doc.hash()), nil)
	if err != nil {
		return err
	}
	return s.answerAccepted(ctx, x, r, accepted)
}

// create accepts what a document asks for. file is the source that came with it, stored and not recorded yet; nil = none.
func (s *Server) create(ctx context.Context, x *exchange, doc *document, once kinora.Idempotency, file *kinora.SourceAsset) (*kinora.Accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	// A repeat is answered before anything else about it is looked at: what it asks for may not be there any more.
	if before, err := s.cfg.Generations.Recall(ctx, x.organisation.ID, once); err != nil || before != nil {
		return before, err
	}
	q, err := parseGeneration(doc)
	if err != nil {
		return nil, err
	}
	if file != nil {
		q.hasFile = true
	} else if q.hasFile {
		return nil, refuse(errMalformed, "file must be sent as a file of a multipart form")
	}
	if q.sources() != 1 {
		return nil, refuse(errMalformed, "exactly one of source_asset_id, source_url and file must be sent")
	}
	var asset *kinora.SourceAsset
	switch {
	case q.assetID != "":
		if asset, err = s.readyAsset(ctx, x, q.assetID); err != nil {
			return nil, err
		}
	case q.sourceURL != "":
		if _, err := s.cfg.Assets.FromURL(x.organisation.ID, q.sourceURL); err != nil {
			return nil, ofField("source_url", err)
		}
	}
	sub, err := s.cfg.Workflows.Submission(q.choices, asset)
	if err != nil {
		return nil, err
	}
	if q.sourceURL != "" {
		if err := s.admitFetch(ctx, x); err != nil {
			return nil, err
		}
	}
	sub.Source = kinora.Source{AssetID: q.assetID, URL: q.sourceURL, Received: file}
	return s.accept(ctx, x, sub, q, once)
}

// readyAsset reads a source asset that a generation is to be made from.
func (s *Server) readyAsset(ctx context.Context, x *exchange, assetID string) (*kinora.SourceAsset, error) {
	if !id.WellFormed(assetID, id.Asset) {
		return nil, assetNotFound()
	}
	a, err := s.cfg.Assets.Asset(ctx, x.organisation.ID, assetID)
	switch {
	case kinora.CodeOf(err) == kinora.ErrNotFound:
		return nil, assetNotFound()
	case err != nil:
		return nil, err
	case a.State != kinora.AssetReady:
		return nil, fieldFault("source_asset_id", "is not ready; its status is %s", a.State)
	}
	return a, nil
}

// accept completes a submission with what a request only echoes, and has it accepted.
func (s *Server) accept(ctx context.Context, x *exchange, sub *kinora.Submission, q *generationRequest, once kinora.Idempotency) (*kinora.Accepted, error) {
	sub.OrganisationID, sub.Surface = x.organisation.ID, kinora.SurfaceGenerations
	sub.WebhookURL, sub.Reference, sub.Metadata = q.webhookURL, q.reference, q.metadata
	sub.IdempotencyKey, sub.IdempotencyScope, sub.RequestHash = once.Key, once.Scope, once.RequestHash
	if sub.CacheApproved && sub.ParentID == "" { // a regenerate must make a new image
		if before, err := s.cfg.Generations.AcceptCached(ctx, sub); err != nil || before != nil {
			return before, err
		}
	}
	return s.cfg.Generations.Accept(ctx, sub)
}

// answerAccepted answers a write with the generation that it has made, or that its first try made, as it is now.
func (s *Server) answerAccepted(ctx context.Context, x *exchange, r *http.Request, accepted *kinora.Accepted) error {
	g, outputs := accepted.Generation, []kinora.Output(nil)
	if g.State == kinora.GenerationSucceeded {
		var err error
		if g, outputs, err = s.lookAt(ctx, x, g.ID); err != nil {
			return err
		}
	}
	x.tellReplay(accepted.Replayed)
	return s.answerWhenWanted(ctx, x, r, http.StatusAccepted, g, outputs)
}

// regenerateGeneration makes a new generation from the source of an earlier one (contract, section 7).
func (s *Server) regenerateGeneration(ctx context.Context, x *exchange, r *http.Request) error {
	jobID, err := jobOf(r)
	if err != nil {
		return err
	}
	key, err := requiredIdempotencyKey(r.Header)
	if err != nil {
		return err
	}
	doc, err := s.readOptionalJSON(x, r)
	if err != nil {
		return err
	}
	accepted, err := s.regenerate(ctx, x, jobID, doc, idempotencyOf(r, key, doc.hash()))
	if err != nil {
		return err
	}
	return s.answerAccepted(ctx, x, r, accepted)
}

func (s *Server) regenerate(ctx context.Context, x *exchange, jobID string, doc *document, once kinora.Idempotency) (*kinora.Accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	if before, err := s.cfg.Generations.Recall(ctx, x.organisation.ID, once); err != nil || before != nil {
		return before, err
	}
	parent, _, err := s.cfg.Generations.Generation(ctx, x.organisation.ID, jobID)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return nil, generationNotFound()
	}
	if err != nil {
		return nil, err
	}
	q, err := parseGeneration(doc)
	switch {
	case err != nil:
		return nil, err
	case q.namesSource():
		return nil, refuse(errMalformed, "a regenerate takes no source: it has that of the generation it repeats")
	}
	if err := canRegenerate(parent); err != nil {
		return nil, err
	}
	asset, err := s.sourceAgain(ctx, x, parent)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return nil, refuse(kinora.ErrInvalid, "the source of this generation has been removed")
	}
	if err != nil {
		return nil, err
	}
	sub, err := s.resolveAgain(q, parent, asset)
	if err != nil {
		return nil, err
	}
	sub.Source, sub.ParentID = kinora.Source{AssetID: asset.ID}, parent.ID
	return s.accept(ctx, x, sub, q, once)
}

// canRegenerate refuses parents from which nothing can be made anew.
func canRegenerate(parent *kinora.Generation) error {
	switch {
	case parent.State == kinora.GenerationIngesting:
		return refuse(kinora.ErrInvalid, "the source of this generation is still being fetched")
	case parent.Request == nil:
		return refuse(kinora.ErrInvalid, "only generations of a workflow can be regenerated")
	case parent.SourceAssetID == "" && parent.AwaitedAssetID == "":
		return refuse(kinora.ErrInvalid, "the source of this generation could not be used")
	}
	return nil
}

// sourceAgain reads the source of a generation that is made anew. One that ended before its source was there has the
// asset that the ingest has made since, if it has.
func (s *Server) sourceAgain(ctx context.Context, x *exchange, parent *kinora.Generation) (*kinora.SourceAsset, error) {
	if parent.SourceAssetID != "" {
		return s.readyAsset(ctx, x, parent.SourceAssetID)
	}
	a, err := s.cfg.Assets.Asset(ctx, x.organisation.ID, parent.AwaitedAssetID)
	switch {
	case err != nil:
		return nil, err
	case a.State == kinora.AssetFailed:
		return nil, refuse(kinora.ErrInvalid, "the source of this generation could not be used")
	case a.State != kinora.AssetReady:
		return nil, refuse(kinora.ErrInvalid, "the source of this generation is still being taken; try again in a moment")
	}
	return a, nil
}

// resolveAgain resolves a regenerate. Where it asks for another row of the matrix, choices of the parent that have no place
// there are left out; what the caller sends himself has to fit.
func (s *Server) resolveAgain(q *generationRequest, parent *kinora.Generation, asset *kinora.SourceAsset) (*kinora.Submission, error) {
	taken := q.inherit(parent)
	for {
		sub, err := s.cfg.Workflows.Submission(q.choices, asset)
		if err == nil || !q.moves(parent) {
			return sub, err
		}
		var wrong *kinora.Error
		if !errors.As(err, &wrong) || wrong.Code != kinora.ErrInvalid {
			return nil, err
		}
		dropped := false
		for _, fault := range wrong.Details {
			if i := slices.Index(taken, fault.Field); i >= 0 && fault.Field != "workflow" {
				q.drop(fault.Field)
				taken = slices.Delete(taken, i, i+1)
				dropped = true
			}
		}
		if !dropped {
			return nil, err
		}
	}
}

// readOptionalJSON is readJSON for a body that may be left out; then it reads as an empty object.
func (s *Server) readOptionalJSON(x *exchange, r *http.Request) (*document, error) {
	_, isForm, err := bodyKind(r.Header)
	if err != nil || isForm {
		return nil, refuse(errMedia, "Content-Type must be application/json")
	}
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return parseJSON([]byte("{}"))
	}
	return s.readJSON(x, r)
}
