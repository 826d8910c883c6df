package lifecycle

import (
	"context"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// HeldGenerations reads an organisation's generations that wait for a review, as HeldOutputs does for one, in the order of the ids. Those
// that are not there, or are another organisation's, are left out.
//
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) HeldGenerations(ctx context.Context, organisationID string, generationIDs []string) ([]kinora.HeldGeneration, error) {
	var found store.Held
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.Held(generationIDs)
		return err
	})
	if err != nil {
		return nil, err
	}
	var list []kinora.HeldGeneration
	for _, one := range generationIDs {
		g := found.Generations[one]
		if g == nil || g.OrganisationID != organisationID {
			continue
		}
		round, made := lastRound(found.Attempts[one], found.Outputs[one])
		list = append(list, kinora.HeldGeneration{Generation: g, Outputs: eligible(g.Plan, round, made)})
	}
	return list, nil
}
