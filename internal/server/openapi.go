package server

func (s *Server) openapiRoutes() []route { return nil }
