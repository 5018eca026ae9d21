//! A YAML or JSON document as a tree whose every node knows its place, and problems with places.
