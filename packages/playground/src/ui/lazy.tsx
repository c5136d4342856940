import type { ComponentChildren, ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'

/** A component that comes when it is first shown. */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let loaded: ComponentType<P> | undefined
  return function Lazy(props: P): ComponentChildren {
    const [view, setView] = useState<{ View: ComponentType<P> } | undefined>(loaded && { View: loaded })
    const [problem, setProblem] = useState('')
    useEffect(() => {
      if (view) return
      load().then(
        (View) => {
          loaded = View
          setView({ View })
        },
        () =>
          setProblem('This part of the page could not be loaded. Is the server there? Reload the page to try again.'),
      )
    }, [])
    return view ? <view.View {...props} /> : <p class="empty faint">{problem || 'one moment'}</p>
  }
}
