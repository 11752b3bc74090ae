//! The routing table: host, then path, then method.

use super::host::Hosts;
use super::path::{self, Doubt};
use crate::settings::{PathPattern, Route, Site};

/// The routes of all sites, ready to be searched.
#[derive(Clone, Debug)]
pub struct Table {
    /// The answer to every question, where there is only one.
    only: Option<RouteIndex>,
    hosts: Hosts,
    sites: Vec<Routes>,
}

/// Where a route stands in the settings that its table was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteIndex {
    /// Index of the site.
    pub site: usize,
    /// Index of the route in its site.
    pub route: usize,
}

/// Why no route takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoRoute {
    /// No site has this host, and there is no `*`: 404.
    Host,
    /// No route of the site fits path and method: 404. (Not 405: that would have to name the methods of a
    /// resource, and only its origin knows them.)
    Path,
    /// The path can be read in more than one way, and the site's routes depend on how: 400.
    Refused(Doubt),
}

impl NoRoute {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Host | Self::Path => 404,
            Self::Refused(_) => 400,
        }
    }

    /// The word that logs and metrics use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "no_site",
            Self::Path => "no_route",
            Self::Refused(doubt) => doubt.word(),
        }
    }
}

impl Table {
    /// The table of `sites`. Where several sites have the same host the first one gets its requests.
    pub fn new(sites: &[Site]) -> Self {
        let mut hosts = Hosts::default();
        for (index, site) in sites.iter().enumerate() {
            site.hosts.iter().for_each(|pattern| hosts.insert(pattern, index));
        }
        Self { only: only_answer(sites), hosts, sites: sites.iter().map(Routes::new).collect() }
    }

    /// The route for a request: `host` as in `Host` or the target's authority, `path` as received without query,
    /// `method` as spelled. A path that does not begin with `/` (`*` of OPTIONS, none of CONNECT) fits only routes
    /// without path.
    ///
    /// A host's site decides alone: when none of its routes fits, `site "*"` is not asked.
    ///
    /// # Errors
    /// When no route takes it, or when which one depends on how an origin reads the path.
    #[inline]
    pub fn find(&self, host: &[u8], path: &[u8], method: &[u8]) -> Result<RouteIndex, NoRoute> {
        if let Some(only) = self.only {
            return Ok(only);
        }
        let site = self.hosts.find(host).ok_or(NoRoute::Host)?;
        let route = self.sites[site].find(path, method)?;
        Ok(RouteIndex { site, route })
    }
}

/// The route that takes everything, where there is nothing else: most proxies have one origin.
fn only_answer(sites: &[Site]) -> Option<RouteIndex> {
    let [site] = sites else { return None };
    let [route] = &site.routes[..] else { return None };
    let takes_all = route.path == PathPattern::Any && route.methods.is_empty();
    (takes_all && site.hosts.iter().any(|host| host == "*")).then_some(RouteIndex { site: 0, route: 0 })
}

/// The routes of one site.
#[derive(Clone, Debug)]
struct Routes {
    /// One node for each text of a pattern, in the order of texts.
    nodes: Vec<Node>,
    any: Vec<Choice>,
    /// Whether the site has one route only; then a doubtful path passes if every reading of it leads there.
    is_single: bool,
}

/// What is decided at one text.
#[derive(Clone, Debug, Default)]
struct Node {
    text: Box<[u8]>,
    exact: Vec<Choice>,
    prefix: Vec<Choice>,
    /// The node with the longest text that this one's text begins with.
    parent: Option<usize>,
}

/// A route that a path leads to, if its method fits.
#[derive(Clone, Debug)]
struct Choice {
    /// Empty means all.
    methods: Box<[Box<[u8]>]>,
    route: usize,
}

impl Routes {
    fn new(site: &Site) -> Self {
        let mut routes = Self { nodes: Vec::new(), any: Vec::new(), is_single: site.routes.len() == 1 };
        for (index, route) in site.routes.iter().enumerate() {
            let choice = Choice::new(route, index);
            match &route.path {
                PathPattern::Any => routes.any.push(choice),
                PathPattern::Exact(text) => routes.node(text).exact.push(choice),
                PathPattern::Prefix(text) => routes.node(text).prefix.push(choice),
            }
        }
        routes.link();
        routes
    }

    /// Finds every node's parent as [`Self::find_canonical`] finds a path's node: among the ancestors of the one before.
    fn link(&mut self) {
        for index in 1..self.nodes.len() {
            let mut parent = Some(index - 1);
            while let Some(at) = parent
                && !self.nodes[index].text.starts_with(&self.nodes[at].text)
            {
                parent = self.nodes[at].parent;
            }
            self.nodes[index].parent = parent;
        }
    }

    /// The node of a pattern, made when it is new. Parents are found when all nodes are there.
    fn node(&mut self, text: &str) -> &mut Node {
        let text = path::spell_pattern(text);
        let at = match self.nodes.binary_search_by(|node| (*node.text).cmp(&text)) {
            Ok(at) => at,
            Err(at) => {
                self.nodes.insert(at, Node { text: text.into(), ..Node::default() });
                at
            }
        };
        &mut self.nodes[at]
    }

    #[inline]
    fn find(&self, path: &[u8], method: &[u8]) -> Result<usize, NoRoute> {
        let is_path = path.starts_with(b"/");
        if !is_path || (self.is_single && self.nodes.is_empty()) {
            return choose(&self.any, method).ok_or(NoRoute::Path);
        }
        match path::canonical(path) {
            Ok(path) => self.find_canonical(&path, method),
            Err(_) if self.is_single => self.find_doubtful(path, method),
            Err(doubt) => Err(NoRoute::Refused(doubt)),
        }
    }

    /// The longest pattern that fits, exact before prefix.
    ///
    /// Every text that `path` begins with is the text found by bisection or one of its ancestors: a text in order
    /// between a prefix of `path` and `path` itself begins with that prefix, too.
    fn find_canonical(&self, path: &[u8], method: &[u8]) -> Result<usize, NoRoute> {
        let mut next = self.nodes.partition_point(|node| *node.text <= *path).checked_sub(1);
        while let Some(node) = next.map(|at| &self.nodes[at]) {
            if path.starts_with(&node.text) {
                let exact = if path.len() == node.text.len() { choose(&node.exact, method) } else { None };
                if let Some(route) = exact.or_else(|| choose(&node.prefix, method)) {
                    return Ok(route);
                }
            }
            next = node.parent;
        }
        choose(&self.any, method).ok_or(NoRoute::Path)
    }

    /// For the only route of a site: it must be meant in every reading, or `/public/..%2fadmin` would pass where
    /// only `/public/*` is let through.
    #[cold]
    fn find_doubtful(&self, path: &[u8], method: &[u8]) -> Result<usize, NoRoute> {
        self.find_canonical(&path::read_loosely(path), method)?;
        self.find_canonical(&path::read(path).path, method)
    }
}

impl Choice {
    fn new(route: &Route, index: usize) -> Self {
        Self { methods: route.methods.iter().map(|method| method.as_bytes().into()).collect(), route: index }
    }
}

/// The first choice that `method` fits; methods are case-sensitive (RFC 9110 section 9.1).
#[inline]
fn choose(choices: &[Choice], method: &[u8]) -> Option<usize> {
    let fits =
        |choice: &&Choice| choice.methods.is_empty() || choice.methods.iter().any(|one| **one == *method);
    choices.iter().find(fits).map(|choice| choice.route)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RouteAction;
    use proptest::prelude::*;

    /// `GET,HEAD /api/*`, `/x`, or empty for any path.
    fn route(text: &str) -> Route {
        let (methods, path) = match text.split_once(' ') {
            Some((methods, path)) => (methods.split(',').map(Into::into).collect(), path),
            None => (Vec::new(), text),
        };
        let path = match path.strip_suffix('*') {
            Some(prefix) => PathPattern::Prefix(prefix.into()),
            None if path.is_empty() => PathPattern::Any,
            None => PathPattern::Exact(path.into()),
        };
        let action = RouteAction::Proxy { cluster: "app".into() };
        Route { methods, ..Route::new(path, action) }
    }

    fn site(host: &str, routes: &[&str]) -> Site {
        Site::new(vec![host.into()], routes.iter().map(|text| route(text)).collect())
    }

    /// The table of a site `*` with these routes.
    fn table(routes: &[&str]) -> Table {
        Table::new(&[site("*", routes)])
    }

    fn get(table: &Table, path: &str) -> Result<usize, NoRoute> {
        table.find(b"example.com", path.as_bytes(), b"GET").map(|index| index.route)
    }

    #[test]
    fn a_single_route_for_everything_takes_everything() {
        let table = table(&[""]);
        for (host, path) in [("", ""), ("a", "*"), ("b:1", "/..%2f%00"), ("c", "/\\#%")] {
            let found = table.find(host.as_bytes(), path.as_bytes(), b"BREW");
            assert_eq!(found, Ok(RouteIndex { site: 0, route: 0 }));
        }
    }

    #[test]
    fn the_longest_pattern_wins_and_exact_goes_first() {
        let table = table(&["/*", "", "/api/*", "/api/", "/api/v1/*", "/api/v1/users", "/ap"]);
        for (path, route) in [
            ("/", 0),
            ("/ap", 6),
            ("/api", 0),
            ("/api/", 3),
            ("/api/x", 2),
            ("/api/v1", 2),
            ("/api/v1/", 4),
            ("/api/v1/users", 5),
            ("/api/v1/users/", 4),
            ("/api/v10", 2),
            ("/zzz", 0),
            ("*", 1),
            ("", 1),
        ] {
            assert_eq!(get(&table, path), Ok(route), "{path}");
        }
    }

    #[test]
    fn a_route_whose_method_does_not_fit_falls_to_the_next_longest() {
        let table = table(&["PUT /api/x", "POST /api/*", "GET,HEAD /api/*", "DELETE /*"]);
        for (method, found) in
            [("PUT", Ok(0)), ("POST", Ok(1)), ("HEAD", Ok(2)), ("DELETE", Ok(3)), ("get", Err(NoRoute::Path))]
        {
            let route = table.find(b"", b"/api/x", method.as_bytes()).map(|index| index.route);
            assert_eq!(route, found, "{method}");
        }
    }

    #[test]
    fn of_equal_patterns_the_first_wins() {
        let table = table(&["/a", "/a", "/b/*", "/b/*", "", ""]);
        assert_eq!(get(&table, "/a"), Ok(0));
        assert_eq!(get(&table, "/b/c"), Ok(2));
        assert_eq!(get(&table, "/c"), Ok(4));
    }

    #[test]
    fn a_host_has_its_site_alone() {
        let table = Table::new(&[site("example.com", &["/a"]), site("*.example.com", &["/b", ""])]);
        assert_eq!(table.find(b"EXAMPLE.com.:80", b"/a", b"GET"), Ok(RouteIndex { site: 0, route: 0 }));
        assert_eq!(table.find(b"www.example.com", b"/b", b"GET"), Ok(RouteIndex { site: 1, route: 0 }));
        assert_eq!(table.find(b"example.com", b"/b", b"GET"), Err(NoRoute::Path));
        assert_eq!(table.find(b"example.org", b"/a", b"GET"), Err(NoRoute::Host));
        assert_eq!(Table::new(&[]).find(b"example.org", b"/", b"GET"), Err(NoRoute::Host));
    }

    #[test]
    fn asterisk_and_authority_form_fit_only_routes_without_path() {
        let with_any = table(&["/*", "OPTIONS,CONNECT "]);
        let without = table(&["/*", "/a"]);
        for (path, method) in [("*", "OPTIONS"), ("", "CONNECT")] {
            let find = |table: &Table| table.find(b"a:443", path.as_bytes(), method.as_bytes());
            assert_eq!(find(&with_any), Ok(RouteIndex { site: 0, route: 1 }));
            assert_eq!(find(&without), Err(NoRoute::Path));
        }
    }

    /// Each line once let somebody past a rule of a proxy.
    #[test]
    fn a_path_cannot_be_spelled_around_a_route() {
        let table = table(&["/admin/*", "/admin", "/static/*", ""]);
        for (path, route) in [
            ("/static/../admin", 1),
            ("/static/%2e%2e/admin/x", 0),
            ("/./admin", 1),
            ("/%61dmin", 1),
            ("/adm%69n/", 0),
            ("/static/./../admin/.", 0),
            ("/admin/../static/x", 2),
            ("//admin", 3),
            ("/admin;x", 3),
            ("/admin%20", 3),
            ("/static/%252e%252e/admin", 2),
            ("/static/..%252fadmin", 2),
            ("/ADMIN", 3),
        ] {
            assert_eq!(get(&table, path), Ok(route), "{path}");
        }
        for path in [
            "/static/..%2fadmin",
            "/static/..%5Cadmin",
            "/static/..;/admin",
            "/admin%00",
            "/admin#/../static/",
            "/../admin",
            "/static/%2e%2e/%2e%2e/admin",
            "/static/%2",
        ] {
            assert!(matches!(get(&table, path), Err(NoRoute::Refused(_))), "{path}");
        }
    }

    #[test]
    fn where_there_is_one_route_a_doubtful_path_must_lead_there_in_every_reading() {
        let table = table(&["/api/*"]);
        for path in ["/api/a%2fb", "/api/a%5cb", "/../api/x", "/api/100%", "/api/x%00"] {
            assert_eq!(get(&table, path), Ok(0), "{path}");
        }
        for path in [
            "/api/..%2fadmin",
            "/api/..\\admin",
            "/api/..;/admin",
            "/x%2f..%2fapi/",
            "/api/../x",
            "/x/%00/../../api/",
        ] {
            assert_eq!(get(&table, path), Err(NoRoute::Path), "{path}");
        }
    }

    #[test]
    fn patterns_are_spelled_as_paths_are() {
        let table = table(&["/café/*", "/%7Euser", "/a%2db", "/.hidden*", "/a/../b"]);
        for (path, route) in
            [("/caf%c3%a9/x", 0), ("/~user", 1), ("/a-b", 2), ("/.hidden/x", 3), ("/.hiddenx", 3)]
        {
            assert_eq!(get(&table, path), Ok(route), "{path}");
        }
        assert_eq!(get(&table, "/a/../b"), Err(NoRoute::Path));
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_a_scan_finds(
            patterns in proptest::collection::vec("(GET |PUT )?(/[ab]{0,2}){0,3}[*]?", 2..10),
            path in "(/[ab]{0,2}){1,4}",
        ) {
            let patterns: Vec<&str> = patterns.iter().map(|text| text.as_str()).collect();
            let routes: Vec<Route> = patterns.iter().map(|text| route(text)).collect();
            let rank = |route: &Route| match &route.path {
                PathPattern::Any => Some((0, 0)),
                PathPattern::Exact(text) if *text == path => Some((1 + text.len(), 1)),
                PathPattern::Prefix(text) if path.starts_with(text) => Some((1 + text.len(), 0)),
                _ => None,
            };
            let fits = |route: &Route| route.methods.is_empty() || route.methods[0] == "GET";
            let ranked = routes.iter().enumerate().filter(|(_, route)| fits(route));
            // `max_by_key` takes the last of equals: hence backwards.
            let best = ranked.rev().filter_map(|(index, route)| Some((rank(route)?, index))).max_by_key(|best| best.0);
            prop_assert_eq!(get(&table(&patterns), &path), best.map(|best| best.1).ok_or(NoRoute::Path));
        }
    }
}
