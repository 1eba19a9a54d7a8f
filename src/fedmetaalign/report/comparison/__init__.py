"""A comparison shown: tables and findings in `markdown`, pictures in `figures`; reads `compare.json` alone."""
