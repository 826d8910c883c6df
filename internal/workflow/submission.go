package workflow

import "github.com/kinora/kinora"

// Submission is Resolve for the lifecycle: what a request stands for, without its source and what is only echoed. source is
// nil while it is not known.
//
// Errors: those of Resolve.
func (s *Set) Submission(req kinora.WorkflowRequest, source *kinora.SourceAsset) (*kinora.Submission, error) {
	var facts SourceFacts
	if source != nil {
		facts = SourceFacts{Width: source.Width, Height: source.Height}
	}
	recipe, err := s.Resolve(req, facts)
	if err != nil {
		return nil, err
	}
	fingerprint := ""
	if source != nil {
		fingerprint = kinora.Fingerprint(recipe.Request, source.SHA256)
	}
	return &kinora.Submission{
		Fingerprint: fingerprint, CacheApproved: recipe.CacheApproved,
		Model: recipe.Model, Request: &recipe.Request, Plan: recipe.Plan,
		Input: kinora.Input{Prompt: recipe.Prompt, Size: recipe.Size, Images: recipe.Images, Duration: recipe.Duration, Metadata: recipe.Metadata},
	}, nil
}
