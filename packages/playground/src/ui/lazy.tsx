import { type ComponentType, h, type VNode } from 'preact'
import { useEffect, useState } from 'preact/hooks'

/** A component that comes when it is first shown. */
export function lazy(load: () => Promise<ComponentType>): ComponentType {
  let loaded: ComponentType | undefined
  return function Lazy(): VNode {
    const [view, setView] = useState<{ View: ComponentType } | undefined>(loaded && { View: loaded })
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
    return view ? h(view.View, {}) : <p class="empty faint">{problem || 'one moment'}</p>
  }
}
